"""Probes and lifecycle hooks: what is run or asked, and how often."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    check_not_negative,
    duplicate,
    forbidden,
    invalid,
    required,
)
from arktos.model.validation.formats import header_name, port, port_name, port_number

_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def check_probes(errs: Errors, path: str, container: Obj, grace: int | None) -> None:
    """Liveness, readiness and startup probe of a container."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            _check_probe(errs, f"{path}.{name}", name, probe, grace)


def _check_probe(errs: Errors, path: str, name: str, probe: Obj, grace: int | None) -> None:
    _check_handler(errs, path, probe, _PROBE_HANDLERS, grace)
    check_not_negative(errs, probe, path, *_TIMES)
    seconds = probe.get("terminationGracePeriodSeconds")
    if name == "readinessProbe":
        if seconds is not None:
            field = f"{path}.terminationGracePeriodSeconds"
            errs.append(invalid(field, seconds, "must not be set for readinessProbes"))
    elif probe.get("successThreshold", 1) != 1:
        errs.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    if seconds is not None and seconds <= 0:
        errs.append(invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0"))


def check_lifecycle(errs: Errors, path: str, lifecycle: Obj, grace: int | None) -> None:
    """The hooks after start and before stop."""
    for name in ("postStart", "preStop"):
        if name in lifecycle:
            _check_handler(errs, f"{path}.{name}", lifecycle[name], _HOOK_HANDLERS, grace)


def _check_handler(errs: Errors, path: str, handler: Obj, names: tuple[str, ...], grace: int | None) -> None:
    found = [name for name in names if name in handler]
    if not found:
        errs.append(required(path, "must specify a handler type"))
        return
    for name in found[1:]:
        errs.append(forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
    name = found[0]
    action = handler[name]
    if name == "exec":
        if not action.get("command"):
            errs.append(required(f"{path}.exec.command"))
    elif name == "httpGet":
        _check_http_get(errs, f"{path}.httpGet", action)
    elif name == "sleep":
        _check_sleep(errs, f"{path}.sleep", action, grace)
    else:
        _check_port(errs, f"{path}.{name}.port", action)


def _check_port(errs: Errors, field: str, action: Mapping[str, int | str]) -> None:
    if "port" in action:
        check_messages(errs, field, action["port"], port(action["port"]))


def _check_http_get(errs: Errors, path: str, action: Obj) -> None:
    if not action.get("path"):
        errs.append(required(f"{path}.path"))
    _check_port(errs, f"{path}.port", action)
    for header in action.get("httpHeaders") or ():
        check_messages(errs, f"{path}.httpHeaders", header.get("name", ""), header_name(header.get("name", "")))


def _check_sleep(errs: Errors, path: str, action: Obj, grace: int | None) -> None:
    seconds = action.get("seconds", 0)
    if grace is not None and not 0 <= seconds <= grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        errs.append(invalid(path, seconds, detail))


def check_ports(errs: Errors, path: str, ports: list[Obj]) -> None:
    """The ports of one container."""
    names: set[str] = set()
    for i, each in enumerate(ports):
        name = each.get("name")
        if name:
            messages = port_name(name)
            if messages:
                check_messages(errs, f"{path}[{i}].name", name, messages)
            elif name in names:
                errs.append(duplicate(f"{path}[{i}].name", name))
            names.add(name)
        number = each.get("containerPort", 0)
        if not number:
            errs.append(required(f"{path}[{i}].containerPort"))
        elif not 0 < number < 65536:
            check_messages(errs, f"{path}[{i}].containerPort", number, port_number(number))
        host = each.get("hostPort", 0)
        if host and not 0 < host < 65536:
            check_messages(errs, f"{path}[{i}].hostPort", host, port_number(host))
