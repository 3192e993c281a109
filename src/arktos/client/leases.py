"""Leader election over coordination.k8s.io/v1 Lease: at most one leader, whatever the clocks say.

A lease is judged by when we last saw it change, on our own monotonic clock, never by the times written in it (as
client-go does): clocks may differ, their rates may not, by more than the slack between `renew` and `duration`.
`Election` is the judgement, without I/O; `Leadership` does what it says. A holder whose identity is the name of a
process of this machine (`arktos.processes`) that has ended is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, ApiError, Conflict, NotFound
from arktos.processes import has_ended
from arktos.wire import logs

LEASE = registry.by_resource("leases.coordination.k8s.io")
_RELEASE_SECONDS = 2.0

_log = logs.get_logger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or another holds it. The body was cancelled."""


class Election:
    """What we know of a lease, and what we may do about it. `now` is our monotonic clock, `wall` the time to
    write."""

    def __init__(self, identity: str, duration: float, ended: Callable[[str], bool] = has_ended) -> None:
        """`ended` says of a holder's identity whether it has certainly come to its end."""
        self._ended = ended
        self.identity = identity
        self.leader = ""
        self._duration = duration
        self._lease: Obj | None = None
        self._seen_at = float("-inf")
        self._valid_for = 0.0

    @property
    def lease(self) -> Obj | None:
        """The lease as last seen."""
        return self._lease

    def observe(self, lease: Obj | None, now: float) -> None:
        """The lease as the server has it now (None: there is none). Only a change restarts its holder's time."""
        spec = _spec(lease)
        if lease is None or self._lease is None or spec != _spec(self._lease):
            self._seen_at = now
        self._lease = lease
        self.leader = spec.get("holderIdentity") or ""
        self._valid_for = float(spec.get("leaseDurationSeconds") or self._duration)

    def may_take(self, now: float) -> bool:
        """Whether the lease is ours, nobody's, of a holder that has ended, or of one that was silent for its whole
        duration."""
        expired = now >= self._seen_at + self._valid_for
        return self.leader in ("", self.identity) or expired or self._ended(self.leader)

    def claim(self, name: str, namespace: str, wall: datetime) -> Obj:
        """The lease to write for being, or staying, its holder."""
        written = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = _spec(self._lease)
        ours = self.leader == self.identity
        spec: Obj = {
            **old,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": written,
            "acquireTime": old.get("acquireTime", written) if ours else written,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if ours or self._lease is None else 1),
        }
        if self._lease is None:
            return {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        return {**self._lease, "spec": spec}

    def resign(self, wall: datetime) -> Obj | None:
        """The lease to write for letting it go, None if it isn't ours."""
        if self._lease is None or self.leader != self.identity:
            return None
        given_up = {**_spec(self._lease), "holderIdentity": "", "leaseDurationSeconds": 1}
        given_up["renewTime"] = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {**self._lease, "spec": given_up}


def _spec(lease: Obj | None) -> Obj:
    return (lease or {}).get("spec") or {}


class Leadership:
    """`async with Leadership(client, "scheduler", "kube-system", identity=me):` the body runs while we lead.

    Entering waits until the lease is ours. If it is lost, the body is cancelled and the block raises
    `LeadershipLost`. Leaving gives the lease up, so that a successor need not wait. Seconds: `duration` is how long
    others wait for a silent leader, `renew` how long after its last renewal a leader still counts itself as one
    (less than `duration`), `retry` the pause between tries.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        tenant: str = "",
        duration: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not 0 < retry < renew < duration:
            raise ValueError(f"need retry < renew < duration, not {retry:g}, {renew:g}, {duration:g}")
        self._client = client
        self._name = name
        self._namespace = namespace
        self._tenant = tenant
        self._renew = renew
        self._retry = retry
        self._wall = wall
        self._election = Election(identity, duration)
        self._renewed_at = 0.0
        self._body: asyncio.Task[object] | None = None
        self._keeper: asyncio.Task[str] | None = None
        self._lost = ""

    @property
    def leader(self) -> str:
        """Who holds the lease, as last seen; "" if nobody."""
        return self._election.leader

    async def __aenter__(self) -> Self:
        seen = None
        while not await self._try():
            if self.leader != seen:
                seen = self.leader
                _log.info("leadership_awaited", lease=self._name, leader=seen)
            await asyncio.sleep(self._retry)
        _log.info("leadership_taken", lease=self._name, identity=self._election.identity)
        self._lost = ""
        self._body = asyncio.current_task()
        self._keeper = asyncio.create_task(self._keep(), name=f"lease {self._name}")
        self._keeper.add_done_callback(self._on_lost)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keeper, self._keeper = self._keeper, None
        assert keeper is not None and self._body is not None
        keeper.cancel()
        try:
            await asyncio.wait([keeper])
        except asyncio.CancelledError:
            # Perhaps our own cancellation, delivered late to a body that was just leaving.
            if not self._lost:
                raise
        if self._lost:
            self._body.uncancel()
            if kind is None or kind is asyncio.CancelledError:
                raise LeadershipLost(self._lost) from error
            return
        await self._give_up()

    def _on_lost(self, keeper: asyncio.Task[str]) -> None:
        if keeper.cancelled() or self._body is None:
            return
        failure = keeper.exception()
        self._lost = f"{type(failure).__name__}: {failure}" if failure else keeper.result()
        _log.warning("leadership_lost", lease=self._name, reason=self._lost)
        self._body.cancel()

    async def _keep(self) -> str:
        """Renews until that fails for good; returns why."""
        while True:
            await asyncio.sleep(self._retry)
            try:
                async with asyncio.timeout_at(self._renewed_at + self._renew):
                    while not await self._try():
                        if self.leader not in ("", self._election.identity):
                            return f"{self.leader} holds the lease"
                        await asyncio.sleep(self._retry)
            except TimeoutError:
                return f"not renewed for {self._renew:g} s"

    async def _try(self) -> bool:
        """One try to take or renew the lease. Failures on the way are no answer: False."""
        loop = asyncio.get_running_loop()
        election = self._election
        started = loop.time()
        try:
            if election.lease is None or election.leader != election.identity:
                election.observe(await self._read(), loop.time())
            if not election.may_take(loop.time()):
                return False
            started = loop.time()
            await self._write()
        except (Conflict, AlreadyExists, NotFound):
            # Somebody was faster; look again before the next try.
            with contextlib.suppress(ApiError, ConnectionFailed):
                election.observe(await self._read(), loop.time())
            return False
        except (ApiError, ConnectionFailed) as error:
            _log.warning("lease_unreachable", lease=self._name, error=f"{type(error).__name__}: {error}")
            return False
        self._renewed_at = started
        return True

    async def _read(self) -> Obj | None:
        try:
            return await self._client.get(LEASE, self._name, namespace=self._namespace, tenant=self._tenant)
        except NotFound:
            return None

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        claim = self._election.claim(self._name, self._namespace, self._wall())
        if self._election.lease is None:
            written = await self._client.create(LEASE, claim, tenant=self._tenant)
        else:
            written = await self._client.update(LEASE, claim)
        self._election.observe(written, loop.time())

    async def _give_up(self) -> None:
        resignation = self._election.resign(self._wall())
        if resignation is None:
            return
        with contextlib.suppress(ApiError, ConnectionFailed, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                self._election.observe(await self._client.update(LEASE, resignation), 0.0)
        _log.info("leadership_given_up", lease=self._name)
