"""Events: what is said, counted, combined, cut off; and that nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.client.event_correlation import COMBINED, Correlator, Reference, Said
from arktos.client.events import Recorder, reference
from arktos.model import registry

POD = Reference(tenant="acme", namespace="ns", kind="Pod", api_version="v1", name="p", uid="u")
RAW = {"metadata": {"tenant": "acme", "namespace": "ns", "name": "p", "uid": "u", "resourceVersion": "7"}}
PATH = "/api/v1/tenants/acme/namespaces/ns/events"


def said(message: str, reason: str = "Started", about: Reference = POD) -> Said:
    return Said(about, "Normal", reason, message)


def test_a_first_event_in_full() -> None:
    event, fresh = Correlator("kubelet", "node-1").say(
        Said(POD, "Warning", "Failed", "no image", "Pulling", Reference(name="n", kind="Node")), 1_000_000_000.5
    ) or ({}, False)
    name = event["metadata"].pop("name")
    assert fresh and name.startswith("p.") and int(name[2:], 16) == 1_000_000_000_500_000_000
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "ns", "tenant": "acme"},
        "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "apiVersion": "v1"},
        "type": "Warning",
        "reason": "Failed",
        "message": "no image",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2001-09-09T01:46:40Z",
        "lastTimestamp": "2001-09-09T01:46:40Z",
        "count": 1,
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
        "action": "Pulling",
        "related": {"kind": "Node", "name": "n"},
    }


def test_the_same_again_is_a_count() -> None:
    correlator = Correlator("c", "i")
    first, _ = correlator.say(said("x"), 100.0) or ({}, True)
    again, fresh = correlator.say(said("x"), 161.0) or ({}, True)
    assert not fresh and again["metadata"] == first["metadata"]
    assert (again["count"], again["firstTimestamp"], again["lastTimestamp"]) == (
        2,
        "1970-01-01T00:01:40Z",
        "1970-01-01T00:02:41Z",
    )


def test_many_similar_ones_become_one() -> None:
    correlator = Correlator("c", "i")
    events = [correlator.say(said(f"m{n}"), 100.0 + n) for n in range(12)]
    spoken = [(e[0]["message"], e[0]["count"], e[1]) for e in events if e]
    assert spoken[:9] == [(f"m{n}", 1, True) for n in range(9)]
    assert spoken[9:] == [
        (COMBINED + "m9", 1, True),
        (COMBINED + "m10", 2, False),
        (COMBINED + "m11", 3, False),
    ]
    later = correlator.say(said("m99"), 1000.0)
    assert later is not None and later[0]["message"] == "m99"


def test_too_much_about_one_object_is_cut_off_for_it_alone() -> None:
    correlator = Correlator("c", "i")
    spoken = [correlator.say(said("x"), 100.0) for _ in range(40)]
    assert sum(event is not None for event in spoken) == 25
    assert correlator.suppressed == 15
    assert correlator.say(said("x", about=Reference(name="other")), 100.0) is not None
    assert correlator.say(said("x"), 399.0) is None
    assert correlator.say(said("x"), 401.0) is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100)), max_size=40))
def test_counts_add_up_and_names_are_unique(steps: list[tuple[str, float]]) -> None:
    correlator = Correlator("c", "i")
    now, counts, names = 0.0, dict[str, int](), dict[str, str]()
    for message, pause in steps:
        now += pause
        spoken = correlator.say(said(message), now)
        if spoken is None:
            continue
        event, fresh = spoken
        name = event["metadata"]["name"]
        assert fresh == (name not in counts)
        counts[name] = counts.get(name, 0) + 1
        assert event["count"] == counts[name]
        assert names.setdefault(name, message) == message
    assert sum(counts.values()) + correlator.suppressed == len(steps)


def test_references() -> None:
    cached = Cached.from_raw(registry.by_resource("pods"), msgspec.json.encode(RAW))
    assert reference(cached) == reference({"apiVersion": "v1", "kind": "Pod", **RAW})
    ready = {"kind": "Node", "name": "n", "uid": "u", "fieldPath": "spec.x"}
    assert reference(ready).obj() == ready
    assert reference({"kind": "Pod", "name": "p", "tenant": "acme"}).tenant == "acme"


async def test_they_arrive_in_the_objects_tenant_and_namespace(api: Any, client: Client) -> None:
    async with Recorder(client, "test", "here") as recorder:
        recorder.event({"kind": "Pod", **RAW}, "Normal", "One", "x")
        recorder.event({"kind": "Node", "metadata": {"name": "n"}}, "Warning", "Two", "y")
    assert recorder.sent == 2 and recorder.dropped == 0
    assert [c.path for c in api.calls] == [PATH, "/api/v1/namespaces/default/events"]


async def test_a_count_is_patched_and_made_anew_when_it_has_expired(api: Any, client: Client) -> None:
    async with Recorder(client, "test", "here") as recorder:
        for expired in (False, False, True):
            if expired:
                api.objects.clear()
            recorder.event({"kind": "Pod", **RAW}, "Normal", "One", "x")
            await recorder.drain(5)
    assert [c.method for c in api.calls] == ["POST", "PATCH", "PATCH", "POST"]
    assert [c.body["count"] for c in api.calls] == [1, 2, 3, 3]
    assert api.calls[1].headers["content-type"] == "application/strategic-merge-patch+json"
    assert len(api.objects) == 1


async def test_counts_that_pile_up_are_one_write(api: Any, client: Client) -> None:
    recorder = Recorder(client, "test", "here")
    for _ in range(5):
        recorder.event({"kind": "Pod", **RAW}, "Normal", "One", "x")
    async with recorder:
        pass
    assert [(c.method, c.body["count"]) for c in api.calls] == [("POST", 5)]


async def test_room_is_bounded_and_the_oldest_goes(api: Any, client: Client) -> None:
    recorder = Recorder(client, "test", "here", limit=3)
    for n in range(5):
        recorder.event({"kind": "Pod", "metadata": {"name": f"p{n}", "namespace": "ns"}}, "Normal", "One", "x")
    async with recorder:
        pass
    assert recorder.dropped == 2
    assert sorted(c.body["involvedObject"]["name"] for c in api.calls) == ["p2", "p3", "p4"]


async def test_what_the_server_refuses_is_dropped(api: Any, client: Client) -> None:
    api.say({"kind": "Status", "code": 403, "reason": "Forbidden"}, 403)
    async with Recorder(client, "test", "here") as recorder:
        recorder.event({"kind": "Pod", **RAW}, "Normal", "One", "x")
    assert (recorder.sent, recorder.dropped) == (0, 1)


class Flaky:
    """A client that fails a few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries = 0

    async def create(self, kind: object, obj: object) -> None:
        from arktos.client.errors import ConnectionFailed

        self.tries += 1
        if self.tries <= self.failures:
            raise ConnectionFailed("down")


@pytest.mark.looptime
@pytest.mark.parametrize(("failures", "sent", "tries"), [(3, 1, 4), (99, 0, 6)])
async def test_an_unreachable_server_is_tried_a_few_times(failures: int, sent: int, tries: int) -> None:
    client = Flaky(failures)
    recorder = Recorder(client, "test", "here")  # type: ignore[arg-type]
    running = asyncio.create_task(recorder.run())
    recorder.event({"kind": "Pod", **RAW}, "Normal", "One", "x")
    await recorder.drain(1000)
    running.cancel()
    await asyncio.wait([running])
    assert (recorder.sent, recorder.dropped, client.tries) == (sent, 1 - sent, tries)
