"""Calls CNI plugins as a container runtime does (CNI specification 1.0.0): the network that the first file of a
folder describes, its plugins in turn.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_ENDINGS = (".conflist", ".conf", ".json")
_CHECK_SINCE = (0, 4, 0)


class CniError(Exception):
    """A plugin refused, could not be run, or there is no network. `code` is the plugin's, as in the specification;
    100 and up are the plugin's own, 0 is ours."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class CniResult:
    """What the network gave an interface. `address` has a prefix length, `10.1.2.3/24`; `gateway` may be empty; `mtu`
    is 0 where the plugins do not say; `dns` and `raw` are as the last plugin answered."""

    address: str
    gateway: str = ""
    mac: str = ""
    mtu: int = 0
    dns: Json = field(default_factory=dict)
    raw: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Network:
    name: str
    version: str
    plugins: tuple[Json, ...]
    no_check: bool


class Cni:
    """The network that the first configuration in `conf_dir` describes, by name; read anew for each call, so that it
    may change. `timeout` is in seconds and for each plugin. With a `cache_dir` a result is kept for the calls that
    shall be given it later."""

    def __init__(
        self, conf_dir: Path, bin_dirs: Sequence[Path], *, timeout: float = 30, cache_dir: Path | None = None
    ) -> None:
        self._conf_dir = conf_dir
        self._bin_dirs = tuple(bin_dirs)
        self._timeout = timeout
        self._cache_dir = cache_dir

    def ready(self) -> str:
        """Why no network can be had now, "" if one can. Reads a small file."""
        try:
            network = self._network()
            for plugin in network.plugins:
                self._program(plugin["type"])
        except CniError as error:
            return str(error)
        return ""

    async def add(
        self,
        container_id: str,
        netns: str | Path,
        ifname: str,
        args: Mapping[str, str],
        capabilities: Mapping[str, Any] | None = None,
    ) -> CniResult:
        """Joins the namespace to the network. What a plugin did before another failed is undone.

        `args` become CNI_ARGS; of `capabilities` a plugin is given those that its configuration names. Raises CniError.
        """
        network = await asyncio.to_thread(self._network)
        call = _Call(self, container_id, str(netns), ifname, args, capabilities or {})
        result: Json | None = None
        try:
            for plugin in network.plugins:
                result = await call.run("ADD", network, plugin, result)
            found = parsed(result or {}, ifname)
            await asyncio.to_thread(self._keep, container_id, ifname, result)
        except BaseException:
            await asyncio.shield(self._undo(call, network, result))
            raise
        return found

    async def delete(
        self,
        container_id: str,
        netns: str | Path,
        ifname: str,
        args: Mapping[str, str],
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes it off the network; fine if it is off already or the namespace is gone. Raises CniError."""
        network = await asyncio.to_thread(self._network)
        call = _Call(self, container_id, str(netns), ifname, args, capabilities or {})
        result = await asyncio.to_thread(self._kept, container_id, ifname)
        for plugin in reversed(network.plugins):
            await call.run("DEL", network, plugin, result)
        await asyncio.to_thread(self._forget, container_id, ifname)

    async def check(
        self,
        container_id: str,
        netns: str | Path,
        ifname: str,
        args: Mapping[str, str],
        capabilities: Mapping[str, Any] | None = None,
        result: Json | None = None,
    ) -> None:
        """Raises CniError if the interface is not as it was added. Silent where the configuration has no CHECK.
        `result` is the `raw` that `add` gave, if it is not kept in `cache_dir`."""
        network = await asyncio.to_thread(self._network)
        if network.no_check or _numbers(network.version) < _CHECK_SINCE:
            return
        call = _Call(self, container_id, str(netns), ifname, args, capabilities or {})
        before = result or await asyncio.to_thread(self._kept, container_id, ifname)
        for plugin in network.plugins:
            await call.run("CHECK", network, plugin, before)

    async def _undo(self, call: _Call, network: _Network, result: Json | None) -> None:
        for plugin in reversed(network.plugins):
            try:
                await call.run("DEL", network, plugin, result)
            except CniError:
                continue  # The failure that led here says more.

    def _network(self) -> _Network:
        try:
            files = sorted(path for path in self._conf_dir.iterdir() if path.suffix in _ENDINGS)
        except OSError as error:
            raise CniError(f"cannot read {self._conf_dir}: {error.strerror}") from error
        if not files:
            raise CniError(f"cni plugin not initialized: there is no network configuration in {self._conf_dir}")
        try:
            return _described(json.loads(files[0].read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CniError(f"{files[0]} is no network configuration: {error}") from error

    def _program(self, kind: str) -> Path:
        if not kind or "/" in kind:
            raise CniError(f"{kind!r} cannot name a CNI plugin")
        for folder in self._bin_dirs:
            if os.access(folder / kind, os.X_OK):
                return folder / kind
        folders = ", ".join(map(str, self._bin_dirs))
        raise CniError(f"there is no CNI plugin {kind!r} in {folders}")

    def _cache_file(self, container_id: str, ifname: str) -> Path | None:
        return None if self._cache_dir is None else self._cache_dir / f"{container_id}-{ifname}.json"

    def _keep(self, container_id: str, ifname: str, result: Json | None) -> None:
        path = self._cache_file(container_id, ifname)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(result))
            fresh.rename(path)

    def _kept(self, container_id: str, ifname: str) -> Json | None:
        path = self._cache_file(container_id, ifname)
        try:
            found = json.loads(path.read_bytes()) if path is not None else None
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _forget(self, container_id: str, ifname: str) -> None:
        path = self._cache_file(container_id, ifname)
        if path is not None:
            path.unlink(missing_ok=True)


class _Call:
    """One interface's calls: what all plugins are told alike."""

    def __init__(
        self,
        cni: Cni,
        container_id: str,
        netns: str,
        ifname: str,
        args: Mapping[str, str],
        capabilities: Mapping[str, Any],
    ) -> None:
        self._cni = cni
        self._capabilities = capabilities
        self._env = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_ARGS": ";".join(f"{name}={value}" for name, value in args.items()),
            "CNI_PATH": ":".join(map(str, cni._bin_dirs)),
        }

    async def run(self, command: str, network: _Network, plugin: Json, before: Json | None) -> Json | None:
        program = self._cni._program(plugin["type"])
        # From a file: a plugin that ends before it has read its pipe would end us, in some event loops.
        question = os.memfd_create("cni", os.MFD_CLOEXEC)
        try:
            os.write(question, json.dumps(self._conf(network, plugin, before)).encode())
            os.lseek(question, 0, os.SEEK_SET)
            process = await asyncio.create_subprocess_exec(
                program,
                env={**self._env, "CNI_COMMAND": command},
                stdin=question,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise CniError(f"cannot run CNI plugin {program}: {error.strerror}") from error
        finally:
            os.close(question)
        try:
            async with asyncio.timeout(self._cni._timeout):
                out, complaint = await process.communicate()
        except TimeoutError:
            raise CniError(f"CNI plugin {program.name} did not finish {command} in {self._cni._timeout:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise _failure(program.name, command, process.returncode, out, complaint)
        if command != "ADD":
            return before
        try:
            answer = json.loads(out)
        except ValueError as error:
            raise CniError(f"CNI plugin {program.name} answered {command} with no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise CniError(f"CNI plugin {program.name} answered {command} with no object")
        return answer

    def _conf(self, network: _Network, plugin: Json, before: Json | None) -> Json:
        conf = {**plugin, "cniVersion": network.version, "name": network.name}
        able = conf.pop("capabilities", None) or {}
        runtime = {name: self._capabilities[name] for name, has in able.items() if has and name in self._capabilities}
        if runtime:
            conf["runtimeConfig"] = runtime
        if before is not None:
            conf["prevResult"] = before
        return conf


def parsed(raw: Json, ifname: str) -> CniResult:
    """The first IPv4 address of `ifname` in an answer to ADD, any one if addresses name no interface.

    Raises CniError if there is none.
    """
    try:
        interfaces = raw.get("interfaces") or []
        for entry in raw.get("ips") or []:
            if ":" in entry["address"]:
                continue
            number = entry.get("interface")
            own = interfaces[number] if number is not None else _named(interfaces, ifname)
            if own and own.get("name") != ifname:
                continue
            return CniResult(
                entry["address"],
                entry.get("gateway") or "",
                own.get("mac") or "",
                own.get("mtu") or 0,
                raw.get("dns") or {},
                raw,
            )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise CniError(f"the CNI plugins answered with a malformed result: {error!r}") from error
    raise CniError(f"the CNI plugins gave {ifname} no IPv4 address")


def _named(interfaces: list[Json], ifname: str) -> Json:
    return next((entry for entry in interfaces if entry.get("name") == ifname and entry.get("sandbox")), {})


def _described(document: Json) -> _Network:
    plugins = document.get("plugins", [document])
    if not plugins or not all(isinstance(plugin.get("type"), str) for plugin in plugins):
        raise ValueError("it has no plugins, or one without a type")
    return _Network(
        str(document["name"]),
        str(document.get("cniVersion") or "0.2.0"),
        tuple(plugins),
        document.get("disableCheck") is True,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _failure(name: str, command: str, status: int, out: bytes, complaint: bytes) -> CniError:
    """What a plugin says when it fails: an error object on standard output, else whatever there is."""
    try:
        answer = json.loads(out)
        text = ": ".join(filter(None, (answer.get("msg"), answer.get("details"))))
        return CniError(f"CNI plugin {name} failed ({command}): {text}", int(answer.get("code") or 0))
    except (ValueError, AttributeError, TypeError):
        said = (out + complaint).decode(errors="replace").strip()[-1000:]
        return CniError(f"CNI plugin {name} failed ({command}) with status {status}: {said or 'without a word'}")
