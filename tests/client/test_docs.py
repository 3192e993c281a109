"""The controller of docs/client.md does what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
CONFIG = """
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: c, context: {{cluster: c}}}}]
"""


def example() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_it_is_short() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 50


async def test_it_works(api: Any, tmp_path: Path) -> None:
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(example(), str(PAGE), "exec"), scope)
    config = tmp_path / "config"
    config.write_text(CONFIG.format(port=api.port))
    namespaces, notes = "/api/v1/tenants/all/namespaces", "/api/v1/tenants/all/configmaps"
    here = "/api/v1/tenants/acme/namespaces/blue/configmaps"

    async def written(method: str, path: str) -> Any:
        async with asyncio.timeout(5), api.changed:
            await api.changed.wait_for(lambda: any((c.method, c.path) == (method, path) for c in api.calls))
        return next(c.body for c in api.calls if (c.method, c.path) == (method, path))

    await api.put(namespaces, "blue", metadata={"tenant": "acme", "labels": {"team": "ants"}})
    await api.put(namespaces, "red", metadata={"tenant": "acme"})
    running = asyncio.create_task(scope["main"](str(config)))
    created = await written("POST", here)
    assert created == {"metadata": {"name": "team"}, "data": {"team": "ants"}}
    event = await written("POST", "/api/v1/tenants/acme/namespaces/default/events")
    assert (event["reason"], event["involvedObject"]["name"]) == ("TeamNoted", "blue")
    seen = {"tenant": "acme", "namespace": "blue"}
    await api.put(notes, "team", metadata=seen, data={"team": "somebody else"})
    assert (await written("PUT", f"{here}/team"))["data"] == {"team": "ants"}
    await api.put(namespaces, "blue", metadata={"labels": {}})
    assert (await written("DELETE", f"{here}/team"))["preconditions"]["uid"].startswith("uid-")
    assert not any("red" in c.path for c in api.calls)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
