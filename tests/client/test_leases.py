"""Leader election: the judgement by itself, and contenders over one lease, with clocks that lie."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from arktos.client.errors import ConnectionFailed
from arktos.client.leases import Election, Leadership, LeadershipLost
from arktos.model.status import AlreadyExists, Conflict, NotFound

WALL = datetime(2026, 1, 2, 3, 4, 5, 600000, UTC)


def lease(holder: str, renewed: str = "x", duration: int = 15) -> dict[str, Any]:
    return {
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": duration},
    }


def test_a_holder_counts_from_when_we_saw_it_change() -> None:
    election = Election("me", 15.0)
    election.observe(lease("other", "2000-01-01T00:00:00Z", 20), 100.0)
    assert not election.may_take(119.9)
    election.observe(lease("other", "2000-01-01T00:00:00Z", 20), 119.0)
    assert election.may_take(120.0)
    election.observe(lease("other", "2000-01-01T00:00:01Z", 20), 121.0)
    assert not election.may_take(140.9)
    assert election.may_take(141.0)


def test_what_is_nobodys_or_ours_may_be_taken_at_once() -> None:
    election = Election("me", 15.0)
    for known in (None, lease(""), lease("me")):
        election.observe(known, 5.0)
        assert election.may_take(5.0)


def test_a_holder_that_has_ended_is_not_waited_for() -> None:
    election = Election("me", 15.0, {"ended"}.__contains__)
    election.observe(lease("alive"), 5.0)
    assert not election.may_take(5.0)
    election.observe(lease("ended"), 5.0)
    assert election.may_take(5.0)


def test_claims_keep_count_of_transitions() -> None:
    election = Election("me", 15.0)
    election.observe(None, 0.0)
    first = election.claim("l", "ns", WALL)
    assert first["metadata"] == {"name": "l", "namespace": "ns"}
    assert first["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2026-01-02T03:04:05.600000Z",
        "acquireTime": "2026-01-02T03:04:05.600000Z",
        "leaseTransitions": 0,
    }
    election.observe(first, 0.0)
    later = election.claim("l", "ns", WALL.replace(minute=5))
    assert later["spec"]["acquireTime"] == first["spec"]["acquireTime"] != later["spec"]["renewTime"]
    assert later["spec"]["leaseTransitions"] == 0
    election.observe(lease("other"), 0.0)
    assert election.claim("l", "ns", WALL)["spec"]["leaseTransitions"] == 1
    assert election.resign(WALL) is None
    election.observe(first, 0.0)
    resigned = election.resign(WALL)
    assert resigned is not None and resigned["spec"]["holderIdentity"] == ""


class OneLease:
    """A client that knows one lease, and fails on demand."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.revision = 0
        self.down = False
        self.hung = False

    async def _reach(self) -> None:
        await asyncio.sleep(0.01)
        if self.hung:
            await asyncio.Event().wait()
        if self.down:
            raise ConnectionFailed("down")

    def _store(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        self.lease = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.revision)}}
        return self.lease

    async def get(self, kind: object, name: str, *, namespace: str, tenant: str) -> dict[str, Any]:
        await self._reach()
        if self.lease is None:
            raise NotFound(name)
        return self.lease

    async def create(self, kind: object, obj: dict[str, Any], *, tenant: str) -> dict[str, Any]:
        await self._reach()
        if self.lease is not None:
            raise AlreadyExists("l")
        return self._store(obj)

    async def update(self, kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        await self._reach()
        assert self.lease is not None
        if obj["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        return self._store(obj)

    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else ""


def contend(client: OneLease, identity: str) -> Leadership:
    return Leadership(client, "l", "ns", identity)  # type: ignore[arg-type]


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.looptime
async def test_a_leader_renews_and_gives_up_at_the_end() -> None:
    client = OneLease()
    async with contend(client, "one") as leadership:
        assert leadership.leader == client.holder() == "one"
        await asyncio.sleep(100)
        assert client.revision > 40
    assert client.holder() == ""


@pytest.mark.looptime
async def test_there_is_never_more_than_one_leader_and_the_next_follows_soon() -> None:
    client = OneLease()
    leading: list[str] = []
    served: list[tuple[str, float]] = []

    async def serve(identity: str) -> None:
        async with contend(client, identity):
            leading.append(identity)
            assert len(leading) == 1
            await asyncio.sleep(50)
            served.append((identity, now()))
            leading.remove(identity)

    async with asyncio.timeout(1000), asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(serve(f"c{n}"))
    assert len({identity for identity, _ in served}) == 4
    assert now() < 4 * 53


@pytest.mark.looptime
async def test_a_silent_leader_is_succeeded_after_the_duration_only() -> None:
    client = OneLease()
    first = contend(client, "first")
    await first.__aenter__()
    assert first._keeper is not None
    first._keeper.cancel()
    started = now()
    async with contend(client, "second"):
        assert 15.0 <= now() - started <= 18.0
        assert client.lease is not None and client.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.looptime
@pytest.mark.parametrize("how", ["down", "hung"])
async def test_a_leader_that_cannot_renew_stops_before_another_may_start(how: str) -> None:
    client = OneLease()
    stopped = 0.0
    with pytest.raises(LeadershipLost, match="not renewed for 10 s"):
        async with contend(client, "one"):
            await asyncio.sleep(7)
            broken = now()
            setattr(client, how, True)
            try:
                await asyncio.sleep(1000)
            finally:
                stopped = now()
    assert stopped - broken <= 10.0
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


@pytest.mark.looptime
async def test_a_short_failure_is_survived() -> None:
    client = OneLease()
    async with contend(client, "one"):
        await asyncio.sleep(5)
        client.down = True
        await asyncio.sleep(6)
        client.down = False
        await asyncio.sleep(60)
    assert client.holder() == ""


@pytest.mark.looptime
async def test_a_stolen_lease_cancels_the_body() -> None:
    client = OneLease()
    with pytest.raises(LeadershipLost, match="thief holds the lease"):
        async with contend(client, "one"):
            await asyncio.sleep(5)
            assert client.lease is not None
            client._store(client.lease | {"spec": client.lease["spec"] | {"holderIdentity": "thief"}})
            await asyncio.sleep(1000)
    assert client.holder() == "thief"


@pytest.mark.looptime
async def test_the_bodys_own_failure_and_cancellation_pass_through() -> None:
    client = OneLease()
    with pytest.raises(LookupError):
        async with contend(client, "one"):
            raise LookupError
    assert client.holder() == ""

    async def lead() -> None:
        async with contend(client, "two"):
            await asyncio.sleep(1000)

    task = asyncio.create_task(lead())
    await asyncio.sleep(10)
    assert client.holder() == "two"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.holder() == ""


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="retry < renew < duration"):
        Leadership(OneLease(), "l", "ns", "me", duration=10, renew=10)  # type: ignore[arg-type]


async def test_over_a_real_connection(api: Any, client: Any) -> None:
    async with Leadership(client, "l", "kube-system", "me", tenant="acme") as leadership:
        assert leadership.leader == "me"
        stored = api.objects["/apis/coordination.k8s.io/v1/tenants/acme/namespaces/kube-system/leases", "l"]
        assert stored["spec"]["holderIdentity"] == "me"
    assert api.calls[-1].body["spec"]["holderIdentity"] == ""
