"""What each tenant's discovery and OpenAPI tell: made when it is asked for, kept while its definitions stay."""

from __future__ import annotations

from collections import OrderedDict

from arktos.apiserver.custom.definitions import Definitions, Mark
from arktos.apiserver.discovery import BUILT_IN, Served
from arktos.model.kinds import Kind

_KEPT = 256
"""Tenants whose documents are held; those of others are made again. Tenants without definitions share one set."""


class Catalogues:
    """The kinds that tenants serve. A change of a tenant's definitions is seen by the next request of that tenant."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._kept: OrderedDict[str, tuple[Mark, Served]] = OrderedDict()

    def of(self, tenant: str) -> Served:
        mark = self._definitions.mark(tenant)
        if not mark[0] and not mark[2]:
            return BUILT_IN
        known = self._kept.get(tenant)
        if known is None or known[0] != mark:
            known = self._kept[tenant] = mark, Served(self._kinds(tenant), BUILT_IN)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(tenant)
        return known[1]

    def _kinds(self, tenant: str) -> list[Kind]:
        definitions = self._definitions.served(tenant)
        return [definition.row(version) for definition in definitions for version in definition.served()]
