"""Carries out the Actions of this node, each when it is due, one at a time per pod, and writes what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from arktos.agent.actions.journal import Begun, Journal
from arktos.agent.actions.operations import EVENTS, OPERATE, Deed, Refused, worth_another_try
from arktos.agent.pods.table import PodRecord, Pods
from arktos.agent.pods.telling import Telling
from arktos.agent.runtimes import NoRuntime
from arktos.agent.vm.machine import Machine, wanted
from arktos.agent.vm.workload import Machines
from arktos.client import Cached, Client, ConnectionFailed, Informer
from arktos.client.ratelimit import Backoff
from arktos.model import dates, registry
from arktos.model.actions import Operation, operation_of
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, Conflict, NotFound
from arktos.model.workload import is_vm
from arktos.rpc.method import RpcError
from arktos.wire import logs

ACTIONS = registry.by_resource("actions")
PODS = registry.by_resource("pods")

_POD_WITHIN = 30.0
"""Seconds that a pod, or a change of it that comes with the Action, may take to arrive here after the Action."""
_MACHINE_WITHIN = 600.0
"""Seconds that a machine may take to exist: its image may have to come first."""
_TRIES_WITHIN = 300.0
"""Seconds for which a runtime that does not answer is asked again."""

_Found = TypeVar("_Found")
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    error: str = ""
    result: dict[str, object] | None = None


class Actions:
    """Run it beside the pods. `folder` is the agent's own."""

    def __init__(
        self, client: Client, node_name: str, pods: Pods, machines: Machines, telling: Telling, folder: Path
    ) -> None:
        self._client = client
        self._node = node_name
        self._pods = pods
        self._machines = machines
        self._telling = telling
        self._journal = Journal(folder)
        self._informer = Informer(client, ACTIONS, field_selector=f"spec.nodeName={node_name}")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._working: set[str] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Until cancelled; what is under way is taken up again by the next process."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._informer.add_handler(self._changed)
            group.create_task(self._informer.run(), name="action-watch")
            await self._informer.synced.wait()
            known = sorted(self._informer.items(), key=lambda each: each.obj()["metadata"]["creationTimestamp"])
            await asyncio.to_thread(self._journal.keep_only, {each.uid for each in known})
            for cached in known:
                self._take(cached)

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        if new is None and old is not None:
            task = self._tasks.get(old.uid)
            # What is being done is done to its end; what only waits for its time will not be done.
            if task is not None and old.uid not in self._working:
                task.cancel()
        elif new is not None and self._informer.synced.is_set():
            self._take(new)

    def _take(self, cached: Cached) -> None:
        action = cached.obj()
        if cached.uid in self._tasks or (action.get("status") or {}).get("complete") or self._group is None:
            return
        task = self._group.create_task(self._carry_out(action), name=f"action {cached.uid}")
        self._tasks[cached.uid] = task
        task.add_done_callback(lambda _: self._tasks.pop(cached.uid, None))

    def _turn(self, action: Obj) -> asyncio.Lock:
        spec, meta = action["spec"], action["metadata"]
        key = "/".join((meta.get("tenant") or "", meta.get("namespace") or "", spec.get("podName") or ""))
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        return lock

    async def _carry_out(self, action: Obj) -> None:
        uid, operation = action["metadata"]["uid"], operation_of(action)
        await asyncio.sleep(_delay(action, time.time()))
        async with self._turn(action):
            self._working.add(uid)
            begun = await asyncio.to_thread(self._journal.read, uid)
            if begun is not None and begun.ended:
                outcome = _Outcome(begun.error, begun.result)
            elif operation is None:
                outcome = _Outcome("spec names no operation that this node knows")
            else:
                outcome = await self._attempt(action, operation, begun)
                ended = Begun(ended=True, error=outcome.error, result=outcome.result or {})
                await asyncio.to_thread(self._journal.write, uid, ended)
            _log.info("action_done", action=uid, operation=operation and operation.name, error=outcome.error)
            await self._write(action, operation, outcome)
            await asyncio.to_thread(self._journal.remove, uid)
        self._working.discard(uid)

    # doing

    async def _attempt(self, action: Obj, operation: Operation, begun: Begun | None) -> _Outcome:
        record: PodRecord | None = None
        try:
            record = await self._record(action)
            await self._unless_ended(record, self._check_wanted(record, operation))
            result = await self._unless_ended(record, self._operate(action, record, operation, begun))
        except (Refused, NoRuntime) as refused:
            outcome = _Outcome(str(refused))
        except RpcError as failed:
            outcome = _Outcome(failed.message or failed.code)
        except (OSError, ApiError, ConnectionFailed) as error:
            outcome = _Outcome(f"{type(error).__name__}: {error}")
        else:
            outcome = _Outcome(result=result)
        if record is not None:
            self._tell(record, operation, outcome)
            self._machines.refresh(record.uid)
        return outcome

    async def _unless_ended(self, record: PodRecord, work: Coroutine[Any, Any, _Found]) -> _Found:
        """What the work gives. Its end goes before all that is to be done to a pod's machine: Refused then."""
        doing = asyncio.create_task(work, name=f"operate {record.uid}")
        ending = asyncio.create_task(self._machines.ended(record), name=f"ending {record.uid}")
        try:
            await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise Refused(f"called off: pod {record.name} is being deleted or has ended")
            return doing.result()
        finally:
            for task in (doing, ending):
                task.cancel()
            await asyncio.wait((doing, ending))

    async def _record(self, action: Obj) -> PodRecord:
        """The pod of an Action. Raises Refused, ApiError, ConnectionFailed."""
        spec, meta = action["spec"], action["metadata"]
        tenant, namespace, name = meta.get("tenant") or "", meta.get("namespace") or "", spec.get("podName") or ""
        deadline = time.monotonic() + _POD_WITHIN
        backoff = Backoff(0.05, 2.0)
        while True:
            record = self._pods.get(spec["podID"]) if spec.get("podID") else self._pods.find(tenant, namespace, name)
            if record is not None and (record.tenant, record.namespace, record.name) == (tenant, namespace, name):
                break
            try:
                pod = await self._client.get(PODS, name, tenant=tenant, namespace=namespace)
            except NotFound:
                raise Refused(f"pod {name} does not exist") from None
            if spec.get("podID") not in (None, "", pod["metadata"]["uid"]):
                raise Refused(f"pod {name} with the UID {spec['podID']} does not exist any more")
            if pod["spec"].get("nodeName") != self._node or time.monotonic() > deadline:
                raise Refused(f"pod {name} is not on node {self._node}")
            await asyncio.sleep(backoff.next())
        if not is_vm(record.pod):
            raise Refused(f"pod {name} is not a virtual machine")
        if record.terminating:
            raise Refused(f"pod {name} is ending")
        return record

    async def _check_wanted(self, record: PodRecord, operation: Operation) -> None:
        """The node would undo a change of power that the pod does not want: the API server changes both, this comes
        first. Raises Refused."""
        if not operation.power_spec:
            return
        deadline = time.monotonic() + _POD_WITHIN
        backoff = Backoff(0.02, 1.0)
        while wanted(record.pod).value != operation.power_spec:
            if time.monotonic() > deadline:
                raise Refused(
                    f"spec.virtualMachine.powerSpec is {wanted(record.pod).value}, not {operation.power_spec}: "
                    f"change it, or use the pod's action subresource, which does"
                )
            await asyncio.sleep(backoff.next())

    async def _operate(self, action: Obj, record: PodRecord, operation: Operation, begun: Begun | None) -> Obj:
        uid, operate = action["metadata"]["uid"], OPERATE[operation.name]
        backoff = Backoff(0.2, 10.0)
        deadline = time.monotonic() + _TRIES_WITHIN
        while True:
            try:
                machine = await self._machine(record, operation)
                if machine is None:
                    return {"powerState": "shutdown"}
                before, begun = begun, begun or Begun(reboots=machine.reboots)
                if before is None:
                    await asyncio.to_thread(self._journal.write, uid, begun)
                runtime = await self._machines.runtime(record)
                params = action["spec"].get(operation.action) or {}
                return await operate(Deed(runtime, machine, record.pod, params, before))
            except RpcError as error:
                if not worth_another_try(error) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(backoff.next())

    async def _machine(self, record: PodRecord, operation: Operation) -> Machine | None:
        """The machine as it is now; None for one that is to be stopped and does not exist. Raises Refused."""
        if operation.name == "stop" and (await self._machines.seen(record)) is None:
            return None
        try:
            async with asyncio.timeout(_MACHINE_WITHIN if operation.power_spec else _POD_WITHIN):
                while (machine := await self._machines.seen(record)) is None:
                    await self._machines.next_look(record.uid)
        except TimeoutError:
            reason = str(record.status.get("reason") or "")
            raise Refused(f"the virtual machine does not exist yet{': ' + reason if reason else ''}") from None
        return machine

    # telling

    def _tell(self, record: PodRecord, operation: Operation, outcome: _Outcome) -> None:
        name = record.pod["spec"]["virtualMachine"]["name"]
        reason, message = EVENTS[operation.name]
        if outcome.error:
            said = f"Cannot {operation.name} virtual machine {name}: {outcome.error}"
            self._telling.warning(record.pod, "ActionFailed", said)
        else:
            self._telling.normal(record.pod, reason, message.format(name=name))

    async def _write(self, action: Obj, operation: Operation | None, outcome: _Outcome) -> None:
        """Until the API server has it, or no longer has the Action."""
        meta, spec = action["metadata"], action["spec"]
        status: Obj = {"complete": True, "podName": spec.get("podName") or "", "podID": spec.get("podID") or ""}
        if outcome.error:
            status["error"] = outcome.error
        elif operation is not None:
            status[operation.result] = outcome.result
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        backoff = Backoff(0.2, 30.0)
        while True:
            try:
                await self._client.patch(
                    ACTIONS,
                    meta["name"],
                    body,
                    tenant=meta.get("tenant") or "",
                    namespace=meta.get("namespace") or "",
                    subresource="status",
                )
            except NotFound:
                return
            except (ApiError, ConnectionFailed) as error:
                if isinstance(error, Conflict) and "uid" in str(error).lower():
                    return
                delay = backoff.next()
                _log.info("action_not_written", action=meta["uid"], error=str(error), again=round(delay, 1))
                await asyncio.sleep(delay)
                continue
            return


def _delay(action: Obj, now: float) -> float:
    """Seconds until an Action is due. It counts from the Action's creation, whoever waits."""
    stated = (action["spec"].get("rebootAction") or {}).get("delayInSeconds") or 0
    due = dates.unix(action["metadata"]["creationTimestamp"]) + float(stated)
    return max(0.0, due - now) if stated else 0.0
