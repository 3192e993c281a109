"""Labels, annotations and label selectors: their own rules, and whether a selector selects a set of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, forbidden, invalid, required, too_long
from arktos.model.validation.formats import label_value, qualified_name

ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all annotation keys and values of one object."""


def check_label_name(errs: Errors, field: str, key: str) -> None:
    """A label key."""
    for message in qualified_name(key):
        errs.append(invalid(field, key, message))


def check_labels(errs: Errors, field: str, labels: Mapping[str, str]) -> None:
    """Keys and values of a label map; an error names the map and shows the key or value."""
    for key, value in labels.items():
        for message in qualified_name(key):
            errs.append(invalid(field, key, message))
        for message in label_value(value):
            errs.append(invalid(field, value, message))


def check_annotations(errs: Errors, field: str, annotations: Mapping[str, str]) -> None:
    """Keys, which unlike label keys ignore case, and total size."""
    size = 0
    for key, value in annotations.items():
        for message in qualified_name(key.lower()):
            errs.append(invalid(field, key, message))
        size += len(key) + len(value)
    # Characters bound bytes from below, and four times that from above: most objects need no encoding at all.
    if size * 4 > ANNOTATIONS_LIMIT and _bytes(annotations) > ANNOTATIONS_LIMIT:
        errs.append(too_long(field, ANNOTATIONS_LIMIT))


def _bytes(texts: Mapping[str, str]) -> int:
    return sum(len(k.encode("utf-8", "replace")) + len(v.encode("utf-8", "replace")) for k, v in texts.items())


def check_selector(errs: Errors, field: str, selector: Obj, *, values: bool = True) -> None:
    """A LabelSelector; `values` says whether label values are checked too."""
    if selector.get("matchLabels"):
        check_labels(errs, f"{field}.matchLabels", selector["matchLabels"])
    for i, requirement in enumerate(selector.get("matchExpressions") or ()):
        _check_requirement(errs, f"{field}.matchExpressions[{i}]", requirement, values)


def _check_requirement(errs: Errors, path: str, requirement: Obj, check_values: bool) -> None:
    operator = requirement.get("operator")
    values: Sequence[str] = requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errs.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errs.append(
                forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
    elif operator == "":
        errs.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    check_label_name(errs, f"{path}.key", requirement.get("key", ""))
    if check_values:
        for i, value in enumerate(values):
            for message in label_value(value):
                errs.append(invalid(f"{path}.values[{i}]", value, message))


def is_empty(selector: Obj | None) -> bool:
    """Whether a LabelSelector has no requirement at all, and so selects everything."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def selects(selector: Obj, labels: Mapping[str, Any]) -> bool:
    """Whether a LabelSelector matches a label map. Requirements with unknown operators match nothing."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(_meets(each, labels) for each in selector.get("matchExpressions") or ())


def _meets(requirement: Obj, labels: Mapping[str, Any]) -> bool:
    key, operator = requirement.get("key", ""), requirement.get("operator")
    values = requirement.get("values") or ()
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    if operator == "Exists":
        return key in labels
    return operator == "DoesNotExist" and key not in labels
