"""Events, in the stored form of the core group; those of the newer API have an `eventTime`."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    invalid,
    not_supported,
    required,
    too_long,
)
from arktos.model.validation.formats import qualified_name
from arktos.model.validation.rules import Rules

_LIMITS = (("action", 128), ("reason", 128), ("message", 1024), ("reportingInstance", 128))
_TYPES = ("Normal", "Warning")
_CLUSTER_NAMESPACES = ("", "default", "kube-system")


def _check(errs: Errors, event: Obj) -> None:
    namespace = (event.get("metadata") or {}).get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    if (about and about != namespace) or (not about and namespace not in _CLUSTER_NAMESPACES):
        errs.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
    if event.get("eventTime"):
        _check_newer(errs, event)


def _check_newer(errs: Errors, event: Obj) -> None:
    controller = event.get("reportingComponent", "")
    if not controller:
        errs.append(required("reportingController"))
    else:
        check_messages(errs, "reportingController", controller, qualified_name(controller))
    for name in ("reportingInstance", "action", "reason"):
        if not event.get(name):
            errs.append(required(name))
    for name, limit in _LIMITS:
        if len(event.get(name, "")) > limit:
            errs.append(too_long("note" if name == "message" else name, limit))
    if event.get("type", "") not in _TYPES:
        errs.append(not_supported("type", event.get("type", ""), _TYPES))
    series = event.get("series")
    if series is not None:
        if series.get("count", 0) < 2:
            errs.append(invalid("series.count", series.get("count", 0), "should be at least 2"))
        if not series.get("lastObservedTime"):
            errs.append(required("series.lastObservedTime"))


_FIXED = ("involvedObject", "related", "reason", "action", "message", "type", "reportingComponent", "reportingInstance")


def _check_update(errs: Errors, event: Obj, old: Obj) -> None:
    if not event.get("eventTime") or not old.get("eventTime"):
        return
    for name in _FIXED:
        check_immutable(errs, name, event.get(name), old.get(name))
    check_immutable(errs, "eventTime", event.get("eventTime"), old.get("eventTime"))


EVENT = Rules(always=_check, update=_check_update)
