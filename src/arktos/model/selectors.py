"""Label, field and range selectors: parsed once, evaluated against headers, with hints for indexes. Pure.

A selector is a conjunction of three parts, each with a grammar of its own: `selectors_labels` (Kubernetes' label
selectors), `selectors_fields` (field selectors with ranges and OR) and `selectors_shards` (KEP-5866). Each part becomes
one function when it is parsed; `matches` stands in the path of every watch event.

A hint never loses a match: whatever `exact` and `ranges` promise holds for every object that matches, not the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from arktos.model import registry, selectors_fields, selectors_labels, selectors_shards
from arktos.model.kinds import Kind
from arktos.model.selectors_fields import Branches
from arktos.model.selectors_labels import Requirements
from arktos.model.selectors_shards import Shards


class OwnerRef(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def hash_key(self) -> int: ...


class Selectable(Protocol):
    """What a stored header offers to selectors (`store.records.Header` is one)."""

    @property
    def uid(self) -> str: ...
    @property
    def hash_key(self) -> int: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def owners(self) -> Sequence[OwnerRef]: ...


class Selector:
    """A conjunction of a label selector, a field selector (with `;` for OR) and a shard selector. Immutable; equal when
    the canonical texts are."""

    __slots__ = ("_branches", "_nothing", "_requirements", "_shards", "_tests", "matches_labels")

    def __init__(
        self,
        requirements: Requirements = (),
        branches: Branches = (),
        shards: Shards | None = None,
        *,
        nothing: bool = False,
    ) -> None:
        self._requirements = requirements
        self._branches = branches
        self._shards = shards
        self._nothing = nothing
        self.matches_labels = (lambda _labels: False) if nothing else selectors_labels.compiled(requirements)
        """Whether a set of labels meets the label selector."""
        self._tests: list[selectors_fields.Test] = []
        if branches:
            self._tests.append(selectors_fields.compiled(branches))
        if shards is not None:
            self._tests.append(selectors_shards.compiled(shards))
        if requirements or nothing:
            on_labels = self.matches_labels
            self._tests.append(lambda _tenant, _namespace, _name, header: on_labels(header.labels))

    def matches(self, tenant: str, namespace: str, name: str, header: Selectable) -> bool:
        """Whether all parts match."""
        for test in self._tests:  # noqa: SIM110 - a generator costs more than the loop
            if not test(tenant, namespace, name, header):
                return False
        return True

    def exact(self, label: str) -> str | None:
        """The one value that every match has for this field label (an index hint), None if there is no such value."""
        return selectors_fields.exact(self._branches, label) if self._branches else None

    def ranges(self, label: str) -> Sequence[tuple[int, int]] | None:
        """Inclusive integer ranges that cover every match's value for `label` (`metadata.hashkey` or an owner's), None
        if unbounded. Sorted, apart; empty if nothing can match."""
        covering = selectors_fields.ranges(self._branches, label) if self._branches else None
        sharded = selectors_shards.hash_key_ranges(self._shards) if label == selectors_fields.HASH_KEY else None
        if sharded is None or covering is None:
            return covering if sharded is None else selectors_fields.merged(sharded)
        both = [(max(a, c), min(b, d)) for a, b in covering for c, d in sharded]
        return selectors_fields.merged(both)

    def only(self, name: str) -> Selector:
        """This selector, for objects of one name: whatever it says, nothing else matches."""
        term = selectors_fields.Term("metadata.name", "=", name)
        branches = tuple((*branch, term) for branch in self._branches) or ((term,),)
        return Selector(self._requirements, branches, self._shards, nothing=self._nothing)

    def labelled(self, other: Selector) -> Selector:
        """This selector, for objects that meet the label selector of another one, too."""
        requirements = (*self._requirements, *other._requirements)
        return Selector(requirements, self._branches, self._shards, nothing=self._nothing or other._nothing)

    @property
    def labels(self) -> str:
        """The label selector in canonical form; `parse` of it is an equal selector."""
        return selectors_labels.canonical(self._requirements)

    @property
    def fields(self) -> str:
        """The field selector in canonical form."""
        return selectors_fields.canonical(self._branches)

    @property
    def shards(self) -> str:
        """The shard selector in canonical form."""
        return "" if self._shards is None else str(self._shards)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"Selector(labels={self.labels!r}, fields={self.fields!r}, shards={self.shards!r})"

    def _identity(self) -> tuple[Requirements, Branches, Shards | None, bool]:
        return self._requirements, self._branches, self._shards, self._nothing


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse(label_selector: str, field_selector: str, kind: Kind, shard_selector: str = "") -> Selector | None:
    """The selector of a LIST, WATCH or deletecollection of a kind; None when everything matches. BadRequest, worded as
    Kubernetes words it, for what cannot be parsed and for field labels that the kind does not have."""
    requirements = selectors_labels.parse(label_selector)
    translate = selectors_fields.translator(_stored_labels(kind))
    branches = selectors_fields.parse(field_selector, translate) if field_selector else ()
    shards = selectors_shards.parse(shard_selector)
    if not requirements and not branches and shards is None:
        return None
    return Selector(requirements, branches, shards)


def named_by(field_selector: str, kind: Kind) -> str:
    """The one name that a field selector lets through, "" if there is no such name. BadRequest."""
    selector = parse("", field_selector, kind)
    return (selector.exact("metadata.name") if selector is not None else None) or ""


def parse_labels(label_selector: str) -> Selector:
    """The selector of a label selector in text. BadRequest."""
    return Selector(selectors_labels.parse(label_selector))


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The selector that a LabelSelector object writes: none matches nothing, an empty one everything. BadRequest for an
    operator that there is not."""
    return NOTHING if selector is None else Selector(selectors_labels.from_object(selector))


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """The selector of a Service or ReplicationController: each label equals; none or an empty set matches nothing."""
    return Selector(selectors_labels.from_set(labels)) if labels else NOTHING


def _stored_labels(kind: Kind) -> Mapping[str, str]:
    """For each field label of a kind, the label under which stored headers have its value."""
    if not kind.storage or kind.custom is not None:
        return dict(zip(kind.selectable, kind.selectable, strict=True))
    by_path = {path: label for label, path in registry.stored_as(kind).selectable.items()}
    return {label: by_path[path] for label, path in kind.selectable.items()}
