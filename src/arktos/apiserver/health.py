"""/livez, /readyz, /healthz: named checks, each also on a path of its own (`/readyz/store`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arktos.wire.http import Response

Check = Callable[[], str | None]
"""None when well, else why not."""


class Health:
    """`live` checks fail when a restart would help, `ready` ones when requests should go elsewhere for now."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        everything = {"ping": lambda: None, **live, **ready}
        self._checks: dict[str, Mapping[str, Check]] = {
            "livez": {"ping": lambda: None, **live},
            "readyz": everything,
            "healthz": everything,
        }

    def answer(self, path: str, verbose: bool, excluded: frozenset[str]) -> Response | None:
        """The answer to `/readyz` or `/readyz/{check}`; None for a check that there is not."""
        endpoint, _, name = path.strip("/").partition("/")
        checks = self._checks[endpoint]
        if name:
            if name not in checks:
                return None
            checks = {name: checks[name]}
        unknown = sorted(excluded - checks.keys())
        warning = "warn: some health checks cannot be excluded: no matches for "
        lines, failed = [warning + f'"{each}"' for each in unknown], False
        for check, run in checks.items():
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
                continue
            problem = run()
            failed = failed or problem is not None
            lines.append(f"[+]{check} ok" if problem is None else f"[-]{check} failed: {problem}")
        if failed:
            return Response(
                500, "\n".join([*lines, f"{endpoint} check failed", ""]).encode(), "text/plain; charset=utf-8"
            )
        text = "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"
        return Response(200, text.encode(), "text/plain; charset=utf-8")
