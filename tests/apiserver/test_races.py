"""Many writers at once: every answer is one that some order explains, and a watch tells the same story as a list."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
_POSSIBLE = {
    "post": {201, 409},
    "put": {200, 404},
    "patch": {200, 404},
    "apply": {200, 201},
    "delete": {200, 404},
}


async def _write(api: Any, verb: str, name: str, value: str) -> int:
    target, body = f"{CMS}/{name}", api.config_map(name, k=value)
    if verb == "post":
        return int((await api.post(CMS, body)).code)
    if verb == "put":
        return int((await api.put(target, body)).code)
    if verb == "patch":
        return int((await api.patch(target, {"data": {"k": value}})).code)
    if verb == "apply":
        return int((await api.apply(target, body, force="true")).code)
    return int((await api.delete(target)).code)


@pytest.mark.parametrize("seed", range(3))
async def test_any_mix_of_writes(api: Any, seed: int) -> None:
    chance = random.Random(seed)
    watch = await api.watch(CMS, labelSelector="!absent")
    assert await watch.take(1) == [("ADDED", "kube-root-ca.crt")]
    for _ in range(10):
        verbs = [chance.choice(sorted(_POSSIBLE)) for _ in range(30)]
        codes = await asyncio.gather(*(_write(api, verb, chance.choice("ab"), str(i)) for i, verb in enumerate(verbs)))
        assert all(code in _POSSIBLE[verb] for verb, code in zip(verbs, codes, strict=True))
    (await api.post(CMS, api.config_map("end"))).ok(201)
    live: dict[str, Any] = {}
    newest = 0
    while "end" not in live:
        event = await watch.next()
        meta = event["object"]["metadata"]
        assert int(meta["resourceVersion"]) > newest
        newest, before = int(meta["resourceVersion"]), live.pop(meta["name"], None)
        assert (before is None) == (event["type"] == "ADDED")
        assert before is None or before["metadata"]["uid"] == meta["uid"]
        if event["type"] != "DELETED":
            live[meta["name"]] = event["object"]
    listed = (await api.get(CMS)).items
    assert {o["metadata"]["name"]: o for o in listed if o["metadata"]["name"] != "kube-root-ca.crt"} == live
