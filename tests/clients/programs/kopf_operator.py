"""A real operator, written with kopf: for each Gadget it keeps a ConfigMap of its size, and tells so in its status.

kopf_operator.py kubeconfig namespace group
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import kopf
from kubernetes import client, config

KUBECONFIG, NAMESPACE, GROUP = sys.argv[1:4]


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.posting.level = 20
    settings.watching.server_timeout = 60


@kopf.on.login()
def login(**_: Any) -> Any:
    config.load_kube_config(KUBECONFIG)
    return kopf.login_via_client(logger=_["logger"], settings=_["settings"])


@kopf.on.create(GROUP, "v1", "gadgets")
def made(spec: kopf.Spec, name: str, namespace: str, **_: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-size"},
        "data": {"size": str(spec.get("size", 1))},
    }
    kopf.adopt(body)
    client.CoreV1Api().create_namespaced_config_map(namespace, body)
    return {"config": f"{name}-size"}


@kopf.on.update(GROUP, "v1", "gadgets", field="spec.size")
def changed(new: int, name: str, namespace: str, **_: Any) -> None:
    client.CoreV1Api().patch_namespaced_config_map(f"{name}-size", namespace, {"data": {"size": str(new)}})


@kopf.on.delete(GROUP, "v1", "gadgets")
def gone(name: str, namespace: str, **_: Any) -> None:
    body = {"metadata": {"name": f"{name}-gone"}, "data": {"was": name}}
    client.CoreV1Api().create_namespaced_config_map(namespace, body)


@kopf.timer(GROUP, "v1", "gadgets", interval=1.0)
def counted(patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
    if (status.get("ticks") or 0) < 2:
        patch.status["ticks"] = (status.get("ticks") or 0) + 1


if __name__ == "__main__":
    kopf.configure(verbose=False)
    asyncio.run(kopf.operator(namespaces=[NAMESPACE], standalone=True, liveness_endpoint=None))
