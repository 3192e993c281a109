"""From a kind, a tenant, a namespace and a name to a request target. Pure.

A named tenant goes into the path in Arktos' own form (`/api/v1/tenants/{t}/namespaces/...`); a server URL that
carries a prefix (`/tenants/acme`) keeps it on every request, and a tenant that the prefix already names is not said
twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from arktos.model.kinds import Kind, Scope


class Paths:
    """The targets below one server URL. `tenant` is the default where a call names none."""

    def __init__(self, server: str, tenant: str = "") -> None:
        """Raises ValueError for what is no http or https URL."""
        url = urlsplit(server)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise ValueError(f"not an http or https URL: {server!r}")
        self.origin = f"{url.scheme}://{url.netloc}"
        self.host = url.netloc.rpartition("@")[2]
        self.prefix = url.path.rstrip("/")
        before, _, last = self.prefix.rpartition("/")
        self._named = last if before.endswith("/tenants") else ""
        self._tenant = tenant
        self._roots: dict[str, str] = {}

    def resource(
        self, kind: Kind, *, tenant: str = "", namespace: str = "", name: str = "", subresource: str = ""
    ) -> str:
        """The target of a collection, an object (`name`) or its subresource. An empty namespace of a namespaced
        kind is all namespaces, which only LIST, WATCH and deletecollection understand."""
        path = self._root(kind)
        if kind.scope is not Scope.CLUSTER:
            tenant = tenant or self._tenant
            if tenant and tenant != self._named:
                path += f"/tenants/{_segment(tenant)}"
        if namespace and kind.scope is Scope.NAMESPACE:
            path += f"/namespaces/{_segment(namespace)}"
        path += f"/{kind.plural}"
        if name:
            path += f"/{_segment(name)}"
        if subresource:
            path += f"/{subresource}"
        return path

    def object(self, kind: Kind, name: str, *, tenant: str = "", namespace: str = "", subresource: str = "") -> str:
        """The target of one object. ValueError without a name: that would be the whole collection."""
        if not name:
            raise ValueError(f"which of the {kind.plural}? A name is needed")
        return self.resource(kind, tenant=tenant, namespace=namespace, name=name, subresource=subresource)

    def other(self, path: str) -> str:
        """Any path below the prefix, its query included."""
        return self.prefix + (path if path.startswith("/") else f"/{path}")

    def _root(self, kind: Kind) -> str:
        version = kind.api_version
        root = self._roots.get(version)
        if root is None:
            root = f"{self.prefix}/{'apis' if kind.group else 'api'}/{version}"
            self._roots[version] = root
        return root


def _segment(name: str) -> str:
    if name in (".", ".."):
        raise ValueError(f"{name!r} is no name")
    return quote(name, safe="")


def query(path: str, parameters: Mapping[str, str]) -> str:
    """`path` with the parameters that are not empty."""
    filled = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(filled, quote_via=quote, safe='')}" if filled else path
