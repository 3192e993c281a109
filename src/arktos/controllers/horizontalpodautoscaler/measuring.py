"""Metrics, asked of the API: what pods use, and what extension servers measure."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlencode

from arktos.client import Client
from arktos.controllers.actions import FAILURES
from arktos.controllers.horizontalpodautoscaler.replicas import Unmeasured
from arktos.model import quantity, selectors
from arktos.model.kinds import Obj

_RESOURCE = "metrics.k8s.io/v1beta1"
_CUSTOM = "custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "external.metrics.k8s.io/v1beta1"


_PATIENCE = 5.0
"""Seconds for which an extension server of a tenant is waited for."""
_AWAY = 60.0
"""Seconds for which no extension of a tenant is asked after one that did not answer in time."""


class Away:
    """The tenants whose extensions did not answer of late: nobody else's autoscalers wait for them again and again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, tenant: str) -> None:
        now = asyncio.get_running_loop().time()
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._until[tenant] = now + _AWAY

    def __contains__(self, tenant: str) -> bool:
        return self._until.get(tenant, 0.0) > asyncio.get_running_loop().time()


class Measuring:
    """For one tenant and namespace. Everything raises Unmeasured with what the server said."""

    def __init__(self, client: Client, tenant: str, namespace: str, away: Away) -> None:
        self._client = client
        self._tenant = tenant
        self._away = away
        self._apis = f"/tenants/{quote(tenant)}/apis"
        self._namespace = quote(namespace)

    async def resource(self, resource: str, selector: str, container: str = "") -> dict[str, float]:
        """What each pod uses of a resource, by its name; of one container where that is told."""
        where = f"{_RESOURCE}/namespaces/{self._namespace}/pods"
        found = await self._get(where, f"resource {resource}", labelSelector=selector)
        used: dict[str, float] = {}
        for item in found.get("items") or ():
            parts = [each for each in item.get("containers") or () if not container or each["name"] == container]
            if container and not parts:
                raise Unmeasured(f"container {container} not present in metrics for pod {item['metadata']['name']}")
            values = [each["usage"].get(resource) for each in parts]
            if None not in values and values:
                used[item["metadata"]["name"]] = sum(_value(each) for each in values)
        if not used:
            raise Unmeasured("no metrics returned from resource metrics API")
        return used

    async def pods(self, metric: Obj, selector: str) -> dict[str, float]:
        """A metric of each pod, by its name."""
        where = f"{_CUSTOM}/namespaces/{self._namespace}/pods/*/{quote(metric['name'])}"
        found = await self._get(where, f"pods metric {metric['name']}", labelSelector=selector, **_of(metric))
        used = {each["describedObject"]["name"]: _value(each["value"]) for each in found.get("items") or ()}
        if not used:
            raise Unmeasured("no metrics returned from custom metrics API")
        return used

    async def object(self, metric: Obj, plural: str, name: str) -> float:
        """A metric of one object, whose resource is `ingresses.networking.k8s.io` or the like."""
        where = f"{_CUSTOM}/namespaces/{self._namespace}/{quote(plural)}/{quote(name)}/{quote(metric['name'])}"
        found = await self._get(where, f"object metric {metric['name']}", **_of(metric))
        items = found.get("items") or ()
        if not items:
            raise Unmeasured("no metrics returned from custom metrics API")
        return _value(items[0]["value"])

    async def external(self, metric: Obj) -> float:
        """The sum of a metric that belongs to nothing here."""
        where = f"{_EXTERNAL}/namespaces/{self._namespace}/{quote(metric['name'])}"
        query = _of(metric)
        found = await self._get(
            where, f"external metric {metric['name']}", labelSelector=query.get("metricLabelSelector", "")
        )
        items = found.get("items") or ()
        if not items:
            raise Unmeasured("no metrics returned from external metrics API")
        return sum(_value(each["value"]) for each in items)

    async def _get(self, where: str, what: str, **query: str) -> Obj:
        told = {name: value for name, value in query.items() if value}
        path = f"{self._apis}/{where}" + (f"?{urlencode(told)}" if told else "")
        of_extension = not where.startswith(_RESOURCE)
        if of_extension and self._tenant in self._away:
            raise Unmeasured(f"unable to get metrics for {what}: the metrics API did not answer of late")
        try:
            async with asyncio.timeout(_PATIENCE if of_extension else None):
                return await self._client.request("GET", path)
        except TimeoutError:
            self._away.note(self._tenant)
            raise Unmeasured(f"unable to get metrics for {what}: the metrics API did not answer in time") from None
        except FAILURES as error:
            raise Unmeasured(f"unable to get metrics for {what}: {error}") from error


def _of(metric: Obj) -> dict[str, str]:
    selector = metric.get("selector")
    return {"metricLabelSelector": selectors.from_label_selector(selector).labels} if selector else {}


def _value(amount: Any) -> float:
    return quantity.parse(str(amount)).milli / 1000
