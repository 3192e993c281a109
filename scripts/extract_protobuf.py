"""Builds src/arktos/wire/protobuf_messages.json: what the wire codec must know about Kubernetes' protobuf messages.

    scripts/extract_protobuf.py FIELDS.json CLIENT [CLIENT...]

FIELDS.json lists message -> field number -> [name, type, label]. It cannot say three things that decide the JSON
form: the JSON name, whether a message is inlined, and whether Go holds a scalar as a value that JSON omits when zero
(its zero is always on the protobuf wire and must not appear) or as a pointer (whose explicit zero must survive). These
are read from the struct tags that every Go client carries for reflection; CLIENT is such a program, for instance
kubectl, newest first. Fields that no client knows yet take the fact of the same message in another version of its
group, then of `NEWER`.

A field is written as `number=name:type`, where the type may carry a prefix `[]` (repeated), `{}` (map by string) or `&`
(inline), and a suffix `?` (drop the zero value). Types of the same package are written without it.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

OUTPUT = Path(__file__).parent.parent / "src" / "arktos" / "wire" / "protobuf_messages.json"
SCALARS = {"string", "int32", "int64", "bool", "bytes", "double"}
UNSERVED = re.compile(r"\.(example2?|testapigroup|audit|apiextensions\.v1beta1|apiregistration\.v1beta1)\.")
META = "k8s.io.apimachinery.pkg.apis.meta.v1."

# Fields newer than any client at hand that are values with omitempty; every other new optional scalar is a pointer.
NEWER = {
    "PodCertificateProjection": "signerName keyType credentialBundlePath keyPath certificateChainPath",
    "PodCertificateRequestStatus": "certificateChain",
    "PodGroupSpec": "priorityClassName",
    "PodGroupTemplate": "priorityClassName",
    "TypedLocalObjectReference": "apiGroup",
    "CustomResourceDefinitionCondition": "observedGeneration",
    "CustomResourceDefinitionStatus": "observedGeneration",
    "ValidationRule": "messageExpression fieldPath",
    "ListOptions": "shardSelector",
    "APIServiceCondition": "reason message",
    "APIServiceSpec": "group version insecureSkipTLSVerify caBundle",
    "ServiceReference": "namespace name",
}


@dataclass(frozen=True)
class Fact:
    """One Go struct field: its JSON tag, the protobuf number, whether its type is a pointer, slice or map."""

    go_name: str
    json: str
    number: str
    embedded: bool
    pointer: bool

    @property
    def name(self) -> str:
        return self.json.partition(",")[0]

    @property
    def inline(self) -> bool:
        return self.embedded and not self.name

    @property
    def drops_zero(self) -> bool:
        return not self.pointer and "omitempty" in self.json


class GoProgram:
    """The reflection data of a 64-bit little-endian ELF program made by Go 1.18 or newer (internal/abi's layouts)."""

    POINTER, SLICE, MAP, ARRAY, STRUCT = 22, 23, 21, 17, 25

    def __init__(self, path: str) -> None:
        self.image = Path(path).read_bytes()
        self.sections = self._sections()
        table = struct.pack("<Q", self.sections[".gopclntab"][0])
        _start, offset, size = self.sections[".noptrdata"]
        module = self.image.find(table, offset, offset + size)
        if module < 0:
            raise SystemExit(f"{path}: no Go module data")
        self.types = self._offset(self._word(module + 296))

    def _word(self, at: int) -> int:
        return int(struct.unpack_from("<Q", self.image, at)[0])

    def _int(self, at: int) -> int:
        return int(struct.unpack_from("<i", self.image, at)[0])

    def _sections(self) -> dict[str, tuple[int, int, int]]:
        table, count, names = self._word(0x28), *struct.unpack_from("<H", self.image, 0x3C), 0
        (names,) = struct.unpack_from("<H", self.image, 0x3E)
        rows = [struct.unpack_from("<IIQQQQ", self.image, table + 64 * i) for i in range(count)]
        text = rows[names][4]
        return {
            self.image[text + row[0] : self.image.index(b"\0", text + row[0])].decode(): (row[3], row[4], row[5])
            for row in rows
            if row[1] != 8
        }

    def _offset(self, address: int) -> int:
        for start, offset, size in self.sections.values():
            if start and start <= address < start + size:
                return address - start + offset
        raise KeyError(hex(address))

    def _text(self, at: int) -> tuple[str, int]:
        size = shift = 0
        while True:
            byte = self.image[at]
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return self.image[at : at + size].decode(), at + size

    def _name(self, at: int) -> tuple[str, str, bool]:
        flags = self.image[at]
        name, at = self._text(at + 1)
        return name, self._text(at)[0] if flags & 2 else "", bool(flags & 8)

    def structs(self) -> dict[str, list[Fact]]:
        """Every named struct under k8s.io that reflection can reach, by its protobuf-style full name."""
        _, offset, size = self.sections[".typelink"]
        todo = [self.types + link for link in struct.unpack_from(f"<{size // 4}i", self.image, offset)]
        seen: set[int] = set()
        found: dict[str, list[Fact]] = {}
        while todo:
            at = todo.pop()
            if at in seen:
                continue
            seen.add(at)
            kind = self.image[at + 23] & 31
            if kind in (self.POINTER, self.SLICE, self.ARRAY):
                todo.append(self._offset(self._word(at + 48)))
            elif kind == self.MAP:
                todo.append(self._offset(self._word(at + 56)))
            elif kind == self.STRUCT:
                facts, types = self._fields(at)
                todo.extend(types)
                if name := self._full_name(at):
                    found[name] = facts
        return found

    def _full_name(self, at: int) -> str:
        named = 1 | 4
        if self.image[at + 20] & named != named:
            return ""
        package = self._name(self.types + self._int(at + 80))[0]
        name = self._name(self.types + self._int(at + 40))[0].rpartition(".")[2]
        return package.replace("/", ".").replace("-", "_") + "." + name if package.startswith("k8s.io/") else ""

    def _fields(self, at: int) -> tuple[list[Fact], list[int]]:
        count = self._word(at + 64)
        rows = self._offset(self._word(at + 56)) if count else 0
        facts, types = [], []
        for i in range(count):
            name_at, type_at = struct.unpack_from("<QQ", self.image, rows + 24 * i)
            go_name, tag, embedded = self._name(self._offset(name_at))
            field_type = self._offset(type_at)
            types.append(field_type)
            number = re.search(r'protobuf:"\w+,(\d+),', tag)
            json_tag = re.search(r'json:"([^"]*)"', tag)
            if number and json_tag:
                pointer = self.image[field_type + 23] & 31 == self.POINTER
                facts.append(Fact(go_name, json_tag[1], number[1], embedded, pointer))
        return facts, types


class Facts:
    """What the clients say, by message and number, else by the same message of any version of the group."""

    def __init__(self, programs: list[str]) -> None:
        self.exact: dict[tuple[str, str], Fact] = {}
        self.alike: dict[tuple[str, str, str], Fact] = {}
        for program in programs:
            for message, facts in GoProgram(program).structs().items():
                group, _, name = message.rsplit(".", 2)
                for fact in facts:
                    self.exact.setdefault((message, fact.number), fact)
                    for key in {fact.name.lower(), fact.go_name.lower()}:
                        self.alike.setdefault((group, name, key), fact)

    def find(self, message: str, number: str, field: str) -> Fact | None:
        group, _, name = message.rsplit(".", 2)
        return self.exact.get((message, number)) or self.alike.get((group, name, field.lower()))


def row(message: str, number: str, field: list[str], facts: Facts) -> str:
    """One field in the notation of the module's docstring."""
    name, kind, label = field
    fact = facts.find(message, number, name)
    package, _, short = message.rpartition(".")
    drop = fact.drops_zero if fact else name in NEWER.get(short, "").split()
    inline = fact is not None and fact.inline
    if fact and fact.name not in ("", "-"):
        name = fact.name
    elif name[0].isupper() and name != "Raw":
        name = name[0].lower() + name[1:]
    if kind.startswith(package + "."):
        kind = kind.removeprefix(package + ".")
    elif kind.startswith(META):
        kind = "meta." + kind.removeprefix(META)
    prefix = "&" if inline else {"optional": "", "repeated": "[]", "map<string>": "{}"}[label]
    suffix = "?" if drop and label == "optional" and kind in SCALARS else ""
    return f"{number}={'' if inline else name}:{prefix}{kind}{suffix}"


def main(fields_path: str, programs: list[str]) -> None:
    fields: dict[str, dict[str, list[str]]] = json.loads(Path(fields_path).read_text())
    facts = Facts(programs)
    lines = defaultdict(str)
    for message, rows in sorted(fields.items()):
        if not UNSERVED.search(message):
            lines[message] = " ".join(
                row(message, number, field, facts) for number, field in sorted(rows.items(), key=lambda r: int(r[0]))
            )
    body = ",\n".join(f"{json.dumps(name)}: {json.dumps(text)}" for name, text in lines.items())
    OUTPUT.write_text("{\n" + body + "\n}\n")
    print(f"{len(lines)} messages, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
