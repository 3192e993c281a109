"""Defaults of pod specs: in pods themselves and, with fewer of them, in the templates of workloads.

Kubernetes gives some defaults to pods only, so that stored templates do not change shape with the server's version:
service links, requests from limits, host ports under host networking.
"""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model.defaults import resources, volumes
from arktos.model.defaults.images import pull_policy
from arktos.model.kinds import Obj


def pod(obj: Obj) -> None:
    """A Pod: its spec, and the defaults that templates do not get."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    for container in spec.get("initContainers") or ():
        resources.requests_from_limits(container)
    for container in spec.get("containers") or ():
        resources.requests_from_limits(container)
    pod_spec(spec)
    if "resources" in spec:
        resources.pod_level(spec)
    if "enableServiceLinks" not in spec:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        _host_ports(spec)


def template(holder: Obj) -> None:
    """The pod template of a workload: `holder` is the object with a `template`."""
    pod_template = holder.get("template")
    if pod_template is None:
        return
    spec = pod_template.get("spec")
    if spec is None:
        spec = pod_template["spec"] = {}
    pod_spec(spec)


_SPEC = (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler"))
_CONTAINER = (("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File"))
_MACHINE = (("imagePullPolicy", "IfNotPresent"), ("shutdownBehavior", "stop"), ("powerSpec", "Running"))
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))


def _fill(obj: Obj, defaults: Iterable[tuple[str, object]]) -> None:
    for name, value in defaults:
        if not obj.get(name):
            obj[name] = value


def pod_spec(spec: Obj) -> None:
    """What every pod spec gets, wherever it stands."""
    _fill(spec, _SPEC)
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        volumes.volume(volume)
    for each in spec.get("initContainers") or ():
        container(each)
    for each in spec.get("ephemeralContainers") or ():
        container(each)
    if not spec.get("containers"):
        spec["containers"] = []
    for each in spec["containers"]:
        container(each)
    if "virtualMachine" in spec:
        virtual_machine(spec["virtualMachine"])
    if spec.get("overhead"):
        resources.round_up(spec["overhead"])


def virtual_machine(machine: Obj) -> None:
    """Our defaults for `spec.virtualMachine`, the same in pods and in templates."""
    _fill(machine, _MACHINE)
    if machine.get("resources"):
        resources.requirements(machine["resources"])


def container(container: Obj) -> None:
    """A container of any of the three lists."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    _fill(container, _CONTAINER)
    needs = container.get("resources")
    if needs is None:
        container["resources"] = {}
    else:
        resources.requirements(needs)
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        if "valueFrom" in variable:
            value_source(variable["valueFrom"])
    for name in _PROBES:
        if name in container:
            _probe(container[name])
    if "lifecycle" in container:
        _lifecycle(container["lifecycle"])
    context = container.get("securityContext")
    if context and context.get("procMount") == "":
        context["procMount"] = "Default"


def _lifecycle(lifecycle: Obj) -> None:
    for name in ("postStart", "preStop"):
        if name in lifecycle and "httpGet" in lifecycle[name]:
            _http_get(lifecycle[name]["httpGet"])


def value_source(source: Obj) -> None:
    """An env variable's or downward file's reference: API version, divisor, optional."""
    if "fieldRef" in source and not source["fieldRef"].get("apiVersion"):
        source["fieldRef"]["apiVersion"] = "v1"
    if "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")
    if "fileKeyRef" in source:
        source["fileKeyRef"].setdefault("optional", False)


def _probe(probe: Obj) -> None:
    _fill(probe, _PROBE)
    if "httpGet" in probe:
        _http_get(probe["httpGet"])
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _http_get(action: Obj) -> None:
    _fill(action, (("path", "/"), ("scheme", "HTTP")))


def _host_ports(spec: Obj) -> None:
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            for port in container.get("ports") or ():
                if not port.get("hostPort") and "containerPort" in port:
                    port["hostPort"] = port["containerPort"]
