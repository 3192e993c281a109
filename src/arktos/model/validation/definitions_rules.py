"""What may be wrong with the rules of a schema (`x-kubernetes-validations`): each is compiled as it will be used."""

from __future__ import annotations

from typing import Any

from arktos.model.cel import CelError
from arktos.model.custom.rules import REASONS, compiled
from arktos.model.custom.schema import Node
from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, invalid, not_supported, required

_LONGEST_MESSAGE = 2048


def check_rules(errs: Errors, path: str, schema: Obj, *, whole: bool, unrelated: str) -> None:
    """Reports what is wrong with the rules of one node. `whole` is the root of an object; `unrelated` is the list whose
    elements have no old selves, "" if values here can be compared with what they were."""
    node = Node(schema)
    for index, raw in enumerate(schema.get("x-kubernetes-validations") or ()):
        _check(errs, f"{path}.x-kubernetes-validations[{index}]", raw, node, whole, unrelated)


def _check(errs: Errors, path: str, raw: Obj, node: Node, whole: bool, unrelated: str) -> None:
    text, message = raw.get("rule") or "", raw.get("message")
    if not text.strip():
        errs.append(required(f"{path}.rule", "rule is not specified"))
        return
    if message is not None:
        if not message.strip():
            errs.append(invalid(f"{path}.message", message, "message must be non-empty if specified"))
        elif "\n" in message:
            errs.append(invalid(f"{path}.message", message, "message must not contain line breaks"))
        elif len(message) > _LONGEST_MESSAGE:
            errs.append(invalid(f"{path}.message", message[:10] + "...", "message must have a maximum length of 2048"))
    elif "\n" in text.strip() and not raw.get("messageExpression"):
        detail = "message must be specified if rule contains line breaks"
        errs.append(required(f"{path}.message", detail))
    reason = raw.get("reason")
    if reason and reason not in REASONS:
        errs.append(not_supported(f"{path}.reason", reason, REASONS))
    _check_place(errs, f"{path}.fieldPath", raw.get("fieldPath"), node)
    _compile(errs, path, raw, node, whole, unrelated)


def _compile(errs: Errors, path: str, raw: Obj, node: Node, whole: bool, unrelated: str) -> None:
    plain = {name: value for name, value in raw.items() if name != "messageExpression"}
    try:
        rule = compiled(plain, node, whole=whole)
    except CelError as error:
        detail = str(error) if str(error).startswith("must evaluate") else f"compilation failed: {error}"
        errs.append(invalid(f"{path}.rule", raw["rule"], detail))
        return
    if raw.get("messageExpression"):
        try:
            compiled(raw, node, whole=whole)
        except CelError as error:
            field = f"{path}.messageExpression"
            errs.append(invalid(field, raw["messageExpression"], f"messageExpression compilation failed: {error}"))
    if rule.compares and unrelated:
        detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {unrelated}"
        errs.append(invalid(f"{path}.rule", raw["rule"], detail))
    if raw.get("optionalOldSelf") is not None and not rule.compares:
        detail = "may not be set if oldSelf is not used in rule"
        errs.append(invalid(f"{path}.optionalOldSelf", raw["optionalOldSelf"], detail))


def _check_place(errs: Errors, path: str, place: str | None, node: Node) -> None:
    """`fieldPath` names a declared field below the rule's value."""
    if place is None:
        return
    if not place.strip():
        errs.append(invalid(path, place, "must be non-empty if specified"))
        return
    found: Any = node
    for step in place.replace("['", ".").replace("']", "").strip(".").split("."):
        found = (found.field(step) or found.additional) if isinstance(found, Node) else None
    if found is None or not place.startswith((".", "[")):
        errs.append(invalid(path, place, f"fieldPath must be a valid path: no field {place!r} is declared"))
