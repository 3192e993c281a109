"""The elements of the table: from what services are to commands, by difference. Pure.

What the kernel has is told by `adopt`; from then on it is remembered. Numbers of routes and the places of their
endpoints are kept where they are, also over a restart: both are read back from the kernel's elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.network.services import rules
from arktos.network.services.routes import NOTHING, Backend, Entry, Route, RouteId, Routing
from arktos.network.services.rules import ROUTE_MAPS, ROUTES, TABLE, TAG
from arktos.network.services.view import Key

Elements = dict[Entry, str]
"""(map or set, key) -> value, as nftables writes them; "" in a set."""


def placed(before: Sequence[Backend | None], wanted: frozenset[Backend]) -> list[Backend]:
    """The wanted ones, each where it was if it can be: new ones and the last ones fill the holes."""
    kept: list[Backend | None] = []
    for each in before:
        kept.append(each if each in wanted and each not in kept else None)
    coming = sorted(wanted - set(kept))
    holes = [index for index, each in enumerate(kept) if each is None]
    for index, each in zip(holes, coming, strict=False):
        kept[index] = each
    rest: list[Backend | None] = [*kept, *coming[len(holes) :]]
    while None in rest:
        last = rest.pop()
        if last is not None:
            rest[rest.index(None)] = last
    return [each for each in rest if each is not None]


class Numbers:
    """Numbers of routes, as connection marks: given in turn, so that one that came back rests."""

    def __init__(self) -> None:
        self._marks: dict[RouteId, int] = {}
        self._taken: dict[int, RouteId] = {}
        self._next = 1

    def get(self, route: RouteId) -> int | None:
        return self._marks.get(route)

    def take(self, route: RouteId, preferred: Iterable[int]) -> int:
        """The route's mark: its own, else the first preferred one that is free and of its kind, else a new one."""
        mark = self._marks.get(route)
        if mark is None:
            fit = (each for each in preferred if each not in self._taken and _is_kind(each, route.local))
            mark = next(fit, None) or self._new(route.local)
            self._marks[route] = mark
            self._taken[mark] = route
        return mark

    def release(self, route: RouteId) -> None:
        mark = self._marks.pop(route, None)
        if mark is not None:
            del self._taken[mark]

    def reserve(self, marks: Iterable[int]) -> None:
        """New numbers come after these, so that a mark of the kernel's is not given to another route."""
        self._next = max([self._next, *((mark & ~rules.TAG_MASK) // 2 + 1 for mark in marks)]) % ROUTES

    def _new(self, local: bool) -> int:
        while True:
            mark = TAG | self._next << 1 | local
            self._next = self._next % (ROUTES - 1) + 1
            if mark not in self._taken:
                return mark


def _is_kind(mark: int, local: bool) -> bool:
    return mark & rules.TAG_MASK == TAG and bool(mark & 1) == local


@dataclass(slots=True)
class Change:
    """One transaction. `gone` are endpoints that a mark no longer leads to."""

    commands: list[str] = field(default_factory=list)
    gone: list[tuple[int, Backend]] = field(default_factory=list)
    elements: dict[Entry, str | None] = field(default_factory=dict)
    chains: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        return "\n".join(self.commands) + "\n"


class Table:
    """`put` services, take `change`, and say `done` when the kernel has it, or `adopt` what it has when it refused."""

    def __init__(self) -> None:
        self._routings: dict[Key, Routing] = {}
        self._claims: dict[Entry, dict[Key, tuple[str, Key]]] = {}
        self._written: dict[Key, Elements] = {}
        self._places: dict[int, list[Backend]] = {}
        self._numbered: dict[Key, set[RouteId]] = {}
        self._own: Counter[str] = Counter()
        self._touched: set[str] = set()
        self._numbers = Numbers()
        self._applied: Elements = {}
        self._chains: set[str] = set()
        self._dirty: dict[Key, None] = {}
        self._prune = False

    def adopt(self, kernel: Mapping[Entry, str], chains: Iterable[str]) -> None:
        """What the kernel has. All services are compared with it next, and what is none of theirs goes."""
        self._applied = dict(kernel)
        self._chains = set(chains)
        self._numbers.reserve(int(value) for (name, _), value in kernel.items() if name in ROUTE_MAPS)
        self._dirty = dict.fromkeys(self._routings)
        self._prune = True

    def put(self, key: Key, routing: Routing) -> None:
        """What a service is from now on; `NOTHING` for one that is gone."""
        old = self._routings.get(key, NOTHING)
        if old == routing:
            return
        for entry in {entry for entry, _ in (*old.entries, *routing.entries)}:
            self._claim(entry, key, routing)
        if routing == NOTHING:
            self._routings.pop(key, None)
        else:
            self._routings[key] = routing
        self._own.subtract(old.own)
        self._own.update(routing.own)
        self._touched |= old.own ^ routing.own
        self._dirty[key] = None

    def _claim(self, entry: Entry, key: Key, routing: Routing) -> None:
        claims = self._claims.setdefault(entry, {})
        before = self._winner(entry)
        if any(each == entry for each, _ in routing.entries):
            claims[key] = routing.rank
        else:
            claims.pop(key, None)
        after = self._winner(entry)
        for other in (before, after):
            if before != after and other is not None:
                self._dirty[other] = None
        if not claims:
            del self._claims[entry]

    def _winner(self, entry: Entry) -> Key | None:
        claims = self._claims.get(entry)
        return min(claims, key=lambda each: claims[each]) if claims else None

    @property
    def waiting(self) -> bool:
        """Whether `change` has more to say."""
        return bool(self._dirty) or self._prune

    def leads_to(self, mark: int, backend: Backend) -> bool:
        """Whether connections with this mark may go there."""
        return backend in self._places.get(mark, ())

    def change(self, limit: int = 500) -> Change:
        """The next transaction: of `limit` services at most. Empty when there is nothing to do."""
        change = Change()
        keys = list(self._dirty)[:limit]
        for key in keys:
            del self._dirty[key]
        among = {None, *keys}
        elements: dict[Entry, str | None] = {}
        for key in keys:
            # An entry that another service takes over is that one's to write.
            mine = self._written.get(key, {})
            elements.update(dict.fromkeys(entry for entry in mine if self._winner(entry) in among))
        for key in keys:
            mine = self._elements(key)
            elements.update(mine)
            if mine:
                self._written[key] = mine
            else:
                self._written.pop(key, None)
        elements.update(self._hairpins())
        if self._prune and not self._dirty:
            self._prune = False
            wanted = {entry for mine in self._written.values() for entry in mine} | elements.keys()
            elements.update({entry: None for entry in self._applied if entry not in wanted})
        change.elements = {entry: value for entry, value in elements.items() if self._applied.get(entry) != value}
        self._describe(change)
        return change

    def _active(self, key: Key) -> set[RouteId]:
        """The routes of a service that some entry leads to."""
        return {route for entry, route in self._routings.get(key, NOTHING).entries if self._winner(entry) == key}

    def _elements(self, key: Key) -> Elements:
        """What a service is, as elements. Numbers are taken for its routes, and given back."""
        routing = self._routings.get(key, NOTHING)
        active = self._active(key)
        for route_id in self._numbered.get(key, set()) - active:
            self._places.pop(self._numbers.get(route_id) or 0, None)
            self._numbers.release(route_id)
        self._numbered[key] = active
        if not active:
            del self._numbered[key]
        found: Elements = {}
        for route in routing.routes:
            if route.id in active:
                found.update(self._route(route, self._mark(route.id, routing)))
        for entry, route_id in routing.entries:
            if self._winner(entry) == key:
                found[entry] = str(self._numbers.get(route_id))
        return found

    def _mark(self, route: RouteId, routing: Routing) -> int:
        known = (self._applied.get(entry) for entry, leads_to in routing.entries if leads_to == route)
        return self._numbers.take(route, (int(mark) for mark in known if mark))

    def _route(self, route: Route, mark: int) -> Elements:
        before = self._places.get(mark)
        places = placed(self._read_places(mark) if before is None else before, route.backends)
        self._places[mark] = places
        found: Elements = {
            ("endpoints", f"{mark} . {index}"): f"{address} . {port}" for index, (address, port) in enumerate(places)
        }
        if places and route.affinity:
            found["choose", str(mark)] = f"goto sticky-{len(places)}"
            found["learn", str(mark)] = f"goto learn-{route.affinity}"
        elif places:
            found["choose", str(mark)] = f"goto pick-{len(places)}"
        elif route.drop:
            found["choose", str(mark)] = "drop"
        return found

    def _read_places(self, mark: int) -> list[Backend]:
        """Where the kernel has a route's endpoints."""
        found: list[Backend] = []
        while text := self._applied.get(("endpoints", f"{mark} . {len(found)}")):
            address, _, port = text.partition(" . ")
            found.append((address, int(port)))
        return found

    def _hairpins(self) -> dict[Entry, str | None]:
        counts, self._touched = {each: self._own[each] for each in self._touched}, set()
        for address, count in counts.items():
            if not count:
                del self._own[address]
        if self._prune:
            counts = dict(self._own)
        return {("hairpin", f"{address} . {address}"): "" if count else None for address, count in counts.items()}

    def _describe(self, change: Change) -> None:
        """Writes the commands: chains first, then what goes, since a map takes no key twice, then what comes."""
        going: dict[str, list[str]] = {}
        coming: dict[str, list[str]] = {}
        lost: dict[int, set[str]] = {}
        for (name, key), value in change.elements.items():
            before = self._applied.get((name, key))
            if before is not None:
                going.setdefault(name, []).append(key)
                if name == "endpoints":
                    lost.setdefault(int(key.partition(" . ")[0]), set()).add(before)
            if value is not None:
                coming.setdefault(name, []).append(f"{key} : {value}" if name in rules.MAPS else key)
                if value.startswith("goto "):
                    self._need(value.removeprefix("goto "), change)
        for verb, elements in (("delete", going), ("add", coming)):
            change.commands += [f"{verb} element ip {TABLE} {m} {{ {', '.join(k)} }}" for m, k in elements.items()]
        for mark, backends in lost.items():
            for text in sorted(backends):
                address, _, port = text.partition(" . ")
                if not self.leads_to(mark, (address, int(port))):
                    change.gone.append((mark, (address, int(port))))

    def _need(self, chain: str, change: Change) -> None:
        if chain in self._chains or chain in change.chains:
            return
        kind, _, number = chain.partition("-")
        if kind == "sticky":
            self._need(f"pick-{number}", change)
        change.commands.append({"pick": rules.pick, "sticky": rules.sticky, "learn": rules.learn}[kind](int(number))[1])
        change.chains.add(chain)

    def done(self, change: Change) -> None:
        """The kernel has it."""
        self._chains |= change.chains
        for entry, value in change.elements.items():
            if value is None:
                self._applied.pop(entry, None)
            else:
                self._applied[entry] = value
