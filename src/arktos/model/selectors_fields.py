"""Field selectors: Kubernetes' terms, and the range operators of Arktos.

    selector := and (';' and)*          OR, binds weakest
    and      := term (',' term)*
    term     := label op value
    op       := '=' | '==' | '!=' | '=gt:' | '=gte:' | '=lt:' | '=lte:'

`\\` escapes `\\`, `,`, `;` and `=` in values. After `==` a value is taken as it stands, so that `a==gt:1` asks for the
text `gt:1`. A range compares as 64-bit integers where both sides are some, else as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, NamedTuple

from arktos.model.selectors_labels import to_int64
from arktos.model.status import BadRequest

if TYPE_CHECKING:
    from arktos.model.selectors import Selectable

Test = Callable[[str, str, str, "Selectable"], bool]

HASH_KEY = "metadata.hashkey"
OWNER_HASH_KEY = "metadata.ownerReferences.hashkey."
_GENERIC = frozenset({"metadata.name", "metadata.namespace", "metadata.tenant", "metadata.uid", HASH_KEY})
_RANGES = ("gte:", "gt:", "lte:", "lt:")
_HOLDS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class Term(NamedTuple):
    """One term. `operator` is `=`, `!=`, gt, gte, lt or lte; `value` is unescaped."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        value = _escape(self.value)
        if self.operator == "=":
            return f"{self.label}{'==' if value.startswith(_RANGES) else '='}{value}"
        if self.operator == "!=":
            return f"{self.label}!={value}"
        return f"{self.label}={self.operator}:{value}"


Branch = tuple[Term, ...]
Branches = tuple[Branch, ...]


def parse(text: str, translate: Callable[[str], str | None]) -> Branches:
    """The branches of a field selector; none if everything matches. `translate` gives the stored label for a label of
    the kind, None if the kind has no such label. BadRequest."""
    branches = []
    for part in _split(text, ";"):
        terms = tuple(_term(text, term, translate) for term in _split(part, ",") if term)
        if not terms:
            if part != text:
                raise BadRequest(f"invalid selector: '{text}'; can't understand '{part}'")
            return ()
        branches.append(terms)
    return tuple(branches)


def translator(labels: Mapping[str, str]) -> Callable[[str], str | None]:
    """Knows the labels that every kind has, and those of one kind: `labels` gives the stored label for each."""

    def translate(label: str) -> str | None:
        generic = label.replace(".hashKey", ".hashkey")
        if generic in _GENERIC or (generic.startswith(OWNER_HASH_KEY) and len(generic) > len(OWNER_HASH_KEY)):
            return generic
        return labels.get(label)

    return translate


def canonical(branches: Branches) -> str:
    """Text that parses to the same branches."""
    return ";".join(",".join(map(str, branch)) for branch in branches)


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped; escapes stay."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return parts


def _term(text: str, term: str, translate: Callable[[str], str | None]) -> Term:
    at = term.find("=")
    if at < 0:
        raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
    operator, end = "=", at + 1
    if term[at - 1 : at] == "!":
        operator, at = "!=", at - 1
    elif term[end : end + 1] == "=":
        end += 1
    else:
        for prefix in _RANGES:
            if term.startswith(prefix, end):
                operator, end = prefix[:-1], end + len(prefix)
                break
    label = translate(term[:at])
    if label is None:
        raise BadRequest(f"field label not supported: {term[:at]}")
    return Term(label, operator, _unescape(text, term, term[end:]))


def _escape(value: str) -> str:
    for letter in ("\\", ",", ";", "="):
        value = value.replace(letter, "\\" + letter)
    return value


def _unescape(text: str, term: str, value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    plain = []
    letters = iter(value)
    for letter in letters:
        if letter == "=":
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        if letter == "\\":
            letter = next(letters, "")
            if letter not in ("\\", ",", ";", "="):
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{letter}")
        plain.append(letter)
    return "".join(plain)


# --- compiled tests --------------------------------------------------------------------------------------------------


def compiled(branches: Branches) -> Test:
    """One function that says whether an object is in at least one branch."""
    tests = [_all(_tests(branch)) for branch in branches]
    if len(tests) == 1:
        return tests[0]

    def test(tenant: str, namespace: str, name: str, header: Selectable) -> bool:
        for one in tests:  # noqa: SIM110 - a generator costs more than the loop
            if one(tenant, namespace, name, header):
                return True
        return False

    return test


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(tenant: str, namespace: str, name: str, header: Selectable) -> bool:
        for one in tests:  # noqa: SIM110
            if not one(tenant, namespace, name, header):
                return False
        return True

    return test


def _tests(branch: Branch) -> list[Test]:
    """The tests of a branch. Ranges of one hash key become one test: it is one owner that must meet them all."""
    tests: list[Test] = []
    bounds: dict[str, tuple[int, int]] = {}
    for term in branch:
        found = bounds_of(term) if _is_hash(term.label) else None
        if found is not None:
            low, high = bounds.get(term.label, found)
            bounds[term.label] = max(low, found[0]), min(high, found[1])
        elif term.label == HASH_KEY:
            tests.append(_on_hash_key(_comparison(term)))
        elif term.label.startswith(OWNER_HASH_KEY):
            tests.append(_on_owner(term))
        else:
            tests.append(_on_text(term))
    tests += [_within(label, low, high) for label, (low, high) in bounds.items()]
    return tests


def _is_hash(label: str) -> bool:
    return label == HASH_KEY or label.startswith(OWNER_HASH_KEY)


def _within(label: str, low: int, high: int) -> Test:
    if label == HASH_KEY:
        return lambda _tenant, _namespace, _name, header: low <= header.hash_key <= high
    kind = label.removeprefix(OWNER_HASH_KEY)

    def test(_tenant: str, _namespace: str, _name: str, header: Selectable) -> bool:
        for owner in header.owners:  # noqa: SIM110
            if owner.kind == kind and low <= owner.hash_key <= high:
                return True
        return False

    return test


def _on_hash_key(compare: Callable[[str], bool]) -> Test:
    return lambda _tenant, _namespace, _name, header: compare(str(header.hash_key))


def _on_owner(term: Term) -> Test:
    """Of several owners of the kind any may match; `!=` asks that none is equal. Without one, the value is empty."""
    kind = term.label.removeprefix(OWNER_HASH_KEY)
    compare = _comparison(term)
    quantifier = all if term.operator == "!=" else any

    def test(_tenant: str, _namespace: str, _name: str, header: Selectable) -> bool:
        values = [str(owner.hash_key) for owner in header.owners if owner.kind == kind] or [""]
        return quantifier(map(compare, values))

    return test


def _on_text(term: Term) -> Test:
    label, value = term.label, term.value
    if term.operator == "=":
        match label:
            case "metadata.name":
                return lambda _tenant, _namespace, name, _header: name == value
            case "metadata.namespace":
                return lambda _tenant, namespace, _name, _header: namespace == value
            case "metadata.tenant":
                return lambda tenant, _namespace, _name, _header: tenant == value
            case "metadata.uid":
                return lambda _tenant, _namespace, _name, header: header.uid == value
        return lambda _tenant, _namespace, _name, header: header.fields.get(label, "") == value
    compare = _comparison(term)
    match label:
        case "metadata.name":
            return lambda _tenant, _namespace, name, _header: compare(name)
        case "metadata.namespace":
            return lambda _tenant, namespace, _name, _header: compare(namespace)
        case "metadata.tenant":
            return lambda tenant, _namespace, _name, _header: compare(tenant)
        case "metadata.uid":
            return lambda _tenant, _namespace, _name, header: compare(header.uid)
    return lambda _tenant, _namespace, _name, header: compare(header.fields.get(label, ""))


def _comparison(term: Term) -> Callable[[str], bool]:
    value, operator, number = term.value, term.operator, to_int64(term.value)
    if operator == "=":
        return lambda text: text == value
    if operator == "!=":
        return lambda text: text != value

    holds = _HOLDS[operator]

    def compare(text: str) -> bool:
        own = to_int64(text) if number is not None else None
        return holds(text, value) if own is None else holds(own, number)

    return compare


# --- hints for indexes -----------------------------------------------------------------------------------------------


def exact(branches: Branches, label: str) -> str | None:
    """The one value that every match has for a label."""
    found: set[str] = set()
    for branch in branches:
        values = {term.value for term in branch if term.label == label and term.operator == "="}
        if not values:
            return None
        found |= values
    return found.pop() if len(found) == 1 else None


def ranges(branches: Branches, label: str) -> list[tuple[int, int]] | None:
    """Inclusive ranges, sorted and apart, that cover every match's value for a hash-key label; None if unbounded."""
    covering = []
    for branch in branches:
        bounds = [found for term in branch if term.label == label and (found := _hint(term)) is not None]
        if not bounds:
            return None
        covering.append((max(low for low, _high in bounds), min(high for _low, high in bounds)))
    return merged(covering)


UNOWNED = -1
"""Where an index of owners' hash keys has the objects that no owner of the kind has."""


def _hint(term: Term) -> tuple[int, int] | None:
    """Where matches stand in the index of a term's label: `label=` asks for those without such an owner."""
    if term.operator == "=" and not term.value and term.label.startswith(OWNER_HASH_KEY):
        return UNOWNED, UNOWNED
    return bounds_of(term)


def merged(covering: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same points in ranges that are sorted and apart."""
    apart: list[tuple[int, int]] = []
    for low, high in sorted(one for one in covering if one[0] <= one[1]):
        if apart and low <= apart[-1][1] + 1:
            apart[-1] = (apart[-1][0], max(high, apart[-1][1]))
        else:
            apart.append((low, high))
    return apart


def bounds_of(term: Term) -> tuple[int, int] | None:
    """The inclusive range that a term with a number asks for; None for `!=` and for what is no number."""
    number = to_int64(term.value)
    if number is None or (term.operator == "=" and term.value != str(number)):
        return None
    match term.operator:
        case "=":
            return number, number
        case "gt":
            return number + 1, _HIGHEST
        case "gte":
            return number, _HIGHEST
        case "lt":
            return _LOWEST, number - 1
        case "lte":
            return _LOWEST, number
    return None
