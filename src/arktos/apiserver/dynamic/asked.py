"""One request as admission sees it: what rules match, what expressions read, what webhooks are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arktos.apiserver import versions
from arktos.apiserver.audit.trail import Trail
from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode
from arktos.apiserver.identity import User
from arktos.apiserver.lifecycle import namespace_key
from arktos.apiserver.reader import Reader
from arktos.apiserver.reviews import user_info
from arktos.model import registry, scale
from arktos.model.admission.expressions import REQUEST_RESOURCE
from arktos.model.admission.matching import Question, Target, is_namespaced, labels_of
from arktos.model.cel import library_authorizer
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj
from arktos.model.status import ApiError

OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE", "connect": "CONNECT"}
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_META = "meta.k8s.io/v1"


class Asked:
    """A write that is about to happen. `obj` and `old` are of the working version of `kind`, or bodies of their own
    (a Binding, an Eviction, a Scale) with `body` telling their kind; `tenant` is where the object lives."""

    def __init__(
        self,
        call: Call,
        kind: Kind,
        operation: str,
        tenant: str,
        obj: Obj | None,
        old: Obj | None,
        subresource: str,
        reader: Reader,
        authorizer: Authorizer,
        body: Kind | None = None,
        options: Obj | None = None,
    ) -> None:
        self.call = call
        self.kind = kind
        self.operation = operation
        self.tenant = tenant
        self.subresource = subresource
        self._reader = reader
        self._authorizer = authorizer
        self.body = body
        self._options = options
        self._paths = None if kind.custom is None else kind.custom.scale
        self.old = self.viewed(old)
        self.obj = self.viewed(obj)
        self._namespace: Obj | None = None
        self._rows: dict[Target, Kind] = {}
        named = self.obj or self.old or {}
        self.name = (named.get("metadata") or {}).get("name") or call.info.name
        self.namespace = (named.get("metadata") or {}).get("namespace") or call.info.namespace
        self.question = self._question()

    def viewed(self, obj: Obj | None) -> Obj | None:
        """What is shown of an object: a workload's Scale, where the request is about that."""
        if obj is None or self.body is not None or self.subresource != scale.SUBRESOURCE:
            return obj
        return scale.of(obj, self._paths)

    @property
    def dry_run(self) -> bool:
        return self.call.dry_run or bool((self._options or {}).get("dryRun"))

    @property
    def is_for_all(self) -> bool:
        """Whether somebody asks about a tenant who works for others, too: a controller, a node."""
        return self.call.user.is_system and self.tenant != SYSTEM_TENANT

    def put(self, obj: Obj) -> None:
        """The object as somebody changed it."""
        self.obj = obj

    def unviewed(self, workload: Obj) -> Obj:
        """The object that is stored, after changes of what was shown of it."""
        assert self.obj is not None
        if self.body is None and self.subresource == scale.SUBRESOURCE:
            return scale.applied(workload, self.obj, self._paths)
        return self.obj

    # ---- matching

    def _question(self) -> Question:
        namespaced = is_namespaced(self.kind)
        labels: Mapping[str, Any] | None = None
        if namespaced:
            labels = labels_of(self.namespace_object) or {}
        elif self.kind.resource == "namespaces" and not self.kind.custom:
            labels = labels_of(self.obj if self.obj is not None else self.old) or {}
        both = (labels_of(self.obj), labels_of(self.old))
        return Question(self._targets(), self.subresource, self.operation, namespaced, self.name, both, labels)

    def refresh(self) -> None:
        """After a change: selectors see the object as it is now."""
        self.question = self._question()

    def _targets(self) -> tuple[Target, ...]:
        rows = [self.call.kind if self.call.kind.resource == self.kind.resource else self.kind, *self._others()]
        found = []
        for row in rows:
            body = self._body_kind(row)
            target = Target(row.group, row.version, row.plural, body)
            self._rows[target] = row
            found.append(target)
        return tuple(found)

    def _others(self) -> list[Kind]:
        own = self.call.kind
        if self.kind.custom is not None:
            definition = self.kind.custom.definition
            if definition.by_webhook:
                return []
            rows = (definition.kind(version) for version in definition.served())
            return [row for row in rows if row is not None and row.version != own.version]
        if not own.storage and self.kind.resource not in _SEVERAL:
            return []
        stored = registry.stored_as(self.kind)
        return [row for row in registry.all_kinds() if registry.stored_as(row) is stored and row != own]

    def _body_kind(self, row: Kind) -> str:
        if self.body is not None:
            return self.body.kind
        return "Scale" if self.subresource == scale.SUBRESOURCE else row.kind

    # ---- forms

    def form(self, obj: Obj | None, target: Target) -> Obj | None:
        """The object in a version that somebody wants to see."""
        if obj is None or self._is_body:
            return obj
        row = self._rows[target]
        if row.custom is not None:
            return obj if obj.get("apiVersion") == row.api_version else {**obj, "apiVersion": row.api_version}
        return versions.from_storage(row, obj)

    def back(self, obj: Obj, target: Target) -> Obj:
        """What `form` gave, after a change, as the working version has it."""
        if self._is_body:
            return obj
        row = self._rows[target]
        if row.custom is not None:
            return {**obj, "apiVersion": self.kind.api_version}
        return versions.to_storage(row, obj)

    @property
    def _is_body(self) -> bool:
        return self.body is not None or self.subresource == scale.SUBRESOURCE

    def request(self, target: Target) -> Obj:
        """The AdmissionRequest without uid and objects."""
        first = self.question.target
        own, wanted = self._gvk(first), self._gvk(target)
        found: Obj = {
            "kind": wanted,
            "resource": target.as_resource(),
            "requestKind": own,
            "requestResource": first.as_resource(),
            "operation": self.operation,
            "userInfo": user_info(self.call.user),
            "dryRun": self.dry_run,
            "options": self._sent_options(),
        }
        if self.name:
            found["name"] = self.name
        if self.question.namespaced or self.kind.resource == "namespaces":
            found["namespace"] = self.namespace or self.name
        if self.subresource:
            found["subResource"] = found["requestSubResource"] = self.subresource
        return found

    def _gvk(self, target: Target) -> Obj:
        if self.body is not None:
            return {"group": self.body.group, "version": self.body.version, "kind": self.body.kind}
        if self.subresource == scale.SUBRESOURCE:
            return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        return target.as_kind()

    def _sent_options(self) -> Obj | None:
        kind = _OPTIONS.get(self.operation)
        if kind is None:
            return None
        found: Obj = {"kind": kind, "apiVersion": _META, **(self._options or {})}
        if self.dry_run:
            found["dryRun"] = ["All"]
        if self.operation != "DELETE" and "fieldManager" in self.call.params:
            found["fieldManager"] = self.call.field_manager
        return found

    # ---- what expressions see

    @property
    def namespace_object(self) -> Obj | None:
        if self._namespace is None and self.namespace and is_namespaced(self.kind):
            record = self._reader.get(namespace_key(self.tenant, self.namespace))
            self._namespace = None if record is None else decode(record)
        return self._namespace

    def values(self, target: Target) -> dict[str, Any]:
        """The variables of expressions, but for `params` and `variables`."""
        request = {"subResource": "", "requestSubResource": "", "name": "", "namespace": "", **self.request(target)}
        authorizer = library_authorizer.Authorizer(self._decide)
        info = self.question.target
        own = library_authorizer.Question(
            group=info.group,
            resource=info.resource,
            subresource=self.subresource,
            namespace=self.namespace if self.question.namespaced else "",
            name=self.name,
        )
        return {
            "object": self.form(self.obj, target),
            "oldObject": self.form(self.old, target),
            "request": request,
            "namespaceObject": self.namespace_object,
            "authorizer": authorizer,
            REQUEST_RESOURCE: library_authorizer.resource_check(authorizer, own),
        }

    def _decide(self, question: library_authorizer.Question) -> library_authorizer.Answer:
        user = self.call.user
        if question.service_account:
            namespace, _, name = question.service_account.partition("/")
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(f"system:serviceaccount:{namespace}:{name}", self.tenant, groups)
        attributes = Attributes(
            user, question.verb, self.tenant, question.group, question.resource, question.subresource,
            question.namespace, question.name, question.path,
        )  # fmt: skip
        try:
            decision = self._authorizer.authorize(attributes)
        except ApiError as error:
            return library_authorizer.Answer(False, error.message)
        return library_authorizer.Answer(decision.allowed, decision.reason)

    # ---- what is told

    def warn(self, text: str) -> None:
        if text not in self.call.warnings:
            self.call.warnings.append(text)

    def annotate(self, key: str, value: object) -> None:
        """For the audit log."""
        trail = self.call.request.about
        if isinstance(trail, Trail):
            trail.annotate(key, value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))


_SEVERAL = frozenset(row.resource for row in registry.all_kinds() if row.storage) | frozenset(
    registry.stored_as(row).resource for row in registry.all_kinds() if row.storage
)
"""Resources that are served in more than one version."""
