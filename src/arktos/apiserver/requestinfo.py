"""What a request asks for: three URL forms, one result (DESIGN 3, ARKTOS 1.5). Pure.

* prefix `/tenants/{t}/api/v1/...`, which a kubeconfig's `server:` carries;
* Arktos' own `/api/v1/tenants/{t}/namespaces/...`;
* the short path `/api/v1/...`, where the credential names the tenant.

`parse` looks at the path only; `resolve` joins it with the caller's tenant.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A parsed path. `tenant` is what the path names ("" = nothing, `all` = every tenant). A path outside `/api` and
    `/apis` has `resource` "" and is named by `path` alone, prefix removed."""

    path: str
    tenant: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False
