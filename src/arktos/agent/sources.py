"""What pods refer to: config maps, secrets, services, claims, volumes, runtime classes.

Config maps and secrets are watched one by one, by name, for as long as a pod of this node refers to them: a node may
read no others. Services are watched by namespace. The rest is read when asked for. While a watch has no state yet, or
none is held, a read goes to the API server; so the first read of a pod that has just come is never older than the pod.
Every read may raise ApiError or ConnectionFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from arktos.agent.spec.env import EnvironmentSources, references
from arktos.agent.spec.facts import all_containers
from arktos.agent.spec.volume_sources import volume_sources
from arktos.client import Client, Informer
from arktos.client.cached import Cached
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import NotFound

_CONFIG_MAPS, _SECRETS, _SERVICES = "configmaps", "secrets", "services"
_RUNTIME_CLASSES = "runtimeclasses.node.k8s.io"

Reference = tuple[str, str, str, str]
"""(resource, tenant, namespace, name); the name is "" for all of a namespace."""

Files = Mapping[tuple[str, str], str]
"""Environment files by volume and path."""
FileReader = Callable[[Obj, Collection[tuple[str, str]]], Awaitable[Files]]


def pod_references(pod: Obj) -> set[Reference]:
    """All that is watched for the sake of a pod."""
    meta, spec = pod["metadata"], pod["spec"]
    tenant, namespace = meta.get("tenant", ""), meta.get("namespace", "")
    config_maps: set[str] = set()
    secrets = {each.get("name", "") for each in spec.get("imagePullSecrets") or ()}
    for container in all_containers(pod):
        named = references(container)
        config_maps |= named.config_maps
        secrets |= named.secrets
    for volume in spec.get("volumes") or ():
        made_from = volume_sources(volume)
        config_maps |= made_from.config_maps
        secrets |= made_from.secrets
    found: set[Reference] = {(_CONFIG_MAPS, tenant, namespace, name) for name in config_maps if name}
    found |= {(_SECRETS, tenant, namespace, name) for name in secrets if name}
    if spec.get("virtualMachine") is None:
        found.add((_SERVICES, tenant, "default", "kubernetes"))
        if spec.get("enableServiceLinks") is not False:
            found.add((_SERVICES, tenant, namespace, ""))
    return found


class Sources:
    """For one event loop. `hold` and `release` bracket a pod's life on the node; reads work without, too."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._files: FileReader = _no_files
        self._held: dict[str, set[Reference]] = {}
        self._watches: dict[Reference, Informer] = {}
        self._users: dict[Reference, set[str]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._tasks: dict[Reference, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keeps what is held up to date until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for reference in self._watches:
                    self._start(reference)
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    def on_change(self, listener: Callable[[str], None]) -> None:
        """`listener(uid)` for every pod that refers to a config map or a secret that came, changed or went."""
        self._listeners.append(listener)

    def read_files_with(self, reader: FileReader) -> None:
        """`reader` gives those of a pod's environment files (volume and path) that exist. It may raise ConfigError."""
        self._files = reader

    def hold(self, pod: Obj) -> None:
        """Watches what a pod refers to, from now on. Idempotent; a changed pod changes what is held."""
        uid, after = pod["metadata"]["uid"], pod_references(pod)
        before = self._held.get(uid, set())
        self._held[uid] = after
        for reference in after - before:
            self._users.setdefault(reference, set()).add(uid)
            if reference not in self._watches:
                self._watches[reference] = self._watch(reference)
                self._start(reference)
        for reference in before - after:
            self._let_go(reference, uid)

    def release(self, uid: str) -> None:
        """The pod is gone; what no other pod refers to is watched no longer. Idempotent."""
        for reference in self._held.pop(uid, set()):
            self._let_go(reference, uid)

    @property
    def watched(self) -> frozenset[Reference]:
        """What is watched now."""
        return frozenset(self._watches)

    async def config_map(self, tenant: str, namespace: str, name: str) -> Obj | None:
        """None if there is none."""
        return await self._get(_CONFIG_MAPS, tenant, namespace, name)

    async def secret(self, tenant: str, namespace: str, name: str) -> Obj | None:
        """None if there is none."""
        return await self._get(_SECRETS, tenant, namespace, name)

    async def pull_secrets(self, pod: Obj) -> list[Obj]:
        """The secrets for pulling images that a pod names, in its order, without those that do not exist."""
        meta = pod["metadata"]
        tenant, namespace = meta.get("tenant", ""), meta.get("namespace", "")
        names = [each.get("name", "") for each in pod["spec"].get("imagePullSecrets") or ()]
        found = [await self.secret(tenant, namespace, name) for name in names if name]
        return [each for each in found if each is not None]

    async def runtime_handler(self, pod: Obj) -> str:
        """The handler of a pod's RuntimeClass, its tenant's own or else the operators'; "" if it names none. Raises
        NotFound."""
        name, tenant = pod["spec"].get("runtimeClassName"), pod["metadata"].get("tenant", "")
        if not name:
            return ""
        found = await self.read(_RUNTIME_CLASSES, tenant, "", name)
        if found is None:
            found = await self._client.get(registry.by_resource(_RUNTIME_CLASSES), name, tenant=SYSTEM_TENANT)
        return str(found.get("handler", ""))

    async def environment(self, pod: Obj, container: Obj, ips: Sequence[str]) -> EnvironmentSources:
        """What the environment of a container is made from. Raises ConfigError for an environment file that cannot be
        read."""
        meta, named = pod["metadata"], references(container)
        tenant, namespace = meta.get("tenant", ""), meta.get("namespace", "")
        config_maps = {name: await self.config_map(tenant, namespace, name) for name in named.config_maps}
        secrets = {name: await self.secret(tenant, namespace, name) for name in named.secrets}
        return EnvironmentSources(
            {name: found for name, found in config_maps.items() if found is not None},
            {name: found for name, found in secrets.items() if found is not None},
            await self._services(pod),
            tuple(ips),
            await self._files(pod, named.files) if named.files else {},
        )

    async def read(self, resource: str, tenant: str, namespace: str, name: str) -> Obj | None:
        """Any object as it is now, None if there is none."""
        try:
            return await self._client.get(registry.by_resource(resource), name, tenant=tenant, namespace=namespace)
        except NotFound:
            return None

    async def _services(self, pod: Obj) -> list[Obj]:
        tenant = pod["metadata"].get("tenant", "")
        found: list[Obj] = []
        for reference in sorted(pod_references(pod)):
            resource, _, namespace, name = reference
            if resource != _SERVICES:
                continue
            informer = self._watches.get(reference)
            if name:
                one = await self._get(_SERVICES, tenant, namespace, name)
                found += [one] if one is not None else []
            elif informer is not None and informer.synced.is_set():
                found += [cached.obj() for cached in informer.items()]
            else:
                kind = registry.by_resource(_SERVICES)
                found += (await self._client.list(kind, tenant=tenant, namespace=namespace)).items
        return found

    async def _get(self, resource: str, tenant: str, namespace: str, name: str) -> Obj | None:
        informer = self._watches.get((resource, tenant, namespace, name))
        if informer is not None and informer.synced.is_set():
            cached = informer.get(tenant, namespace, name)
            return cached.obj() if cached is not None else None
        return await self.read(resource, tenant, namespace, name)

    def _watch(self, reference: Reference) -> Informer:
        resource, tenant, namespace, name = reference
        informer = Informer(
            self._client,
            registry.by_resource(resource),
            tenant=tenant,
            namespace=namespace,
            field_selector=f"metadata.name={name}" if name else "",
        )
        if resource != _SERVICES:
            informer.add_handler(lambda old, new: self._changed(reference, old, new))
        return informer

    def _start(self, reference: Reference) -> None:
        if self._group is not None:
            self._tasks[reference] = self._group.create_task(self._watches[reference].run())

    def _changed(self, reference: Reference, old: Cached | None, new: Cached | None) -> None:
        for uid in list(self._users.get(reference, ())):
            for listener in self._listeners:
                listener(uid)

    def _let_go(self, reference: Reference, uid: str) -> None:
        users = self._users.get(reference)
        if users is None:
            return
        users.discard(uid)
        if not users:
            del self._users[reference]
            del self._watches[reference]
            task = self._tasks.pop(reference, None)
            if task is not None:
                task.cancel()


async def _no_files(pod: Obj, named: Collection[tuple[str, str]]) -> Files:
    return {}
