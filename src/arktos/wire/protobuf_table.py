"""The message table of the Kubernetes protobuf codec: loaded once, each message compiled when it is first met.

`protobuf_messages.json` holds one line of text per message (its notation: scripts/extract_protobuf.py), so that a
process which never sees protobuf pays nothing, and one that does pays for the messages it sees.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

META = "k8s.io.apimachinery.pkg.apis.meta.v1."

# What a field holds, and how often.
STRING, MESSAGE, BOOL, INT32, INT64, BYTES, DOUBLE, SPECIAL = range(8)
SCALARS = {"string": STRING, "bool": BOOL, "int32": INT32, "int64": INT64, "bytes": BYTES, "double": DOUBLE}
SINGLE, REPEATED, MAP, INLINE = range(4)
_LABELS = {"[]": REPEATED, "{}": MAP, "&": INLINE}

# Messages whose JSON form is not an object of their fields.
_LISTS = ("ExtraValue", "Verbs")
SPECIALS = {
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "quantity",
    "k8s.io.apimachinery.pkg.api.resource.QuantityValue": "quantity",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "int_or_string",
    META + "Time": "time",
    META + "MicroTime": "micro_time",
    META + "Duration": "duration",
    META + "FieldsV1": "fields_v1",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "raw_extension",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON": "raw_json",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schema_or_array",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schema_or_bool",
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schema_or_strings",
}


class Field:
    """One field of a message: `tag` is the wire's (number and wire type), `drop` says that JSON omits its zero."""

    __slots__ = ("drop", "kind", "label", "name", "number", "tag", "tag_bytes", "type_name")

    def __init__(self, number: int, name: str, label: int, kind: int, type_name: str, drop: bool) -> None:
        self.number = number
        self.name = name
        self.label = label
        self.kind = kind
        self.type_name = type_name
        self.drop = drop
        wire_type = 2
        if label != MAP:
            wire_type = 0 if kind in (BOOL, INT32, INT64) else 1 if kind == DOUBLE else 2
        self.tag = number << 3 | wire_type
        self.tag_bytes = varint(self.tag)

    @property
    def message(self) -> Message:
        """The message that a field of kind MESSAGE holds."""
        return message(self.type_name)

    @property
    def special(self) -> str:
        """How a field of kind SPECIAL is read and written: a value of `SPECIALS`."""
        return _special(self.type_name)


class Message:
    """A compiled message: `fields` by number, `by_tag` for the decoder. A packable field is also there by its packed
    form's tag."""

    __slots__ = ("by_tag", "fields", "name", "numbers")

    def __init__(self, name: str, fields: list[Field]) -> None:
        self.name = name
        self.fields = fields
        self.by_tag = {field.tag: field for field in fields}
        for field in fields:
            if field.label == REPEATED and field.tag & 7 != 2:
                self.by_tag[field.number << 3 | 2] = field
        self.numbers = frozenset(field.number for field in fields)


_ONE_BYTE = [bytes((value,)) for value in range(128)]


def varint(value: int) -> bytes:
    """Base-128 encoding of a number; negative ones as 64-bit two's complement."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if value < 0:
        value += 1 << 64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


@cache
def messages() -> dict[str, str]:
    """Full message name -> the text of its fields."""
    path = Path(__file__).with_name("protobuf_messages.json")
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str])


@cache
def message(name: str) -> Message:
    """The message of that full name. Raises KeyError."""
    package = name.rpartition(".")[0] + "."
    return Message(name, [_field(text, package) for text in messages()[name].split()])


def _special(type_name: str) -> str:
    return SPECIALS.get(type_name) or "strings"


def _field(text: str, package: str) -> Field:
    """Reads `number=name:[label]type[?]`."""
    number, _, rest = text.partition("=")
    name, _, kind = rest.rpartition(":")
    drop = kind.endswith("?")
    kind = kind.removesuffix("?")
    label = SINGLE
    for prefix, code in _LABELS.items():
        if kind.startswith(prefix):
            label, kind = code, kind.removeprefix(prefix)
    if kind in SCALARS:
        return Field(int(number), name, label, SCALARS[kind], "", drop)
    if kind.startswith("meta."):
        kind = META + kind.removeprefix("meta.")
    elif "." not in kind:
        kind = package + kind
    special = kind in SPECIALS or kind.rpartition(".")[2] in _LISTS
    return Field(int(number), name, label, SPECIAL if special else MESSAGE, kind, drop)


# Kinds that every group version serves with the meaning of meta/v1.
_SHARED = frozenset(
    {
        "APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "CreateOptions", "DeleteOptions", "GetOptions",
        "ListOptions", "PartialObjectMetadata", "PartialObjectMetadataList", "PatchOptions", "Status",
        "UpdateOptions", "WatchEvent",
    }
)  # fmt: skip
_PACKAGES = {
    "": "k8s.io.api.core",
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
    "custom.metrics.k8s.io": "k8s.io.metrics.pkg.apis.custom_metrics",
    "external.metrics.k8s.io": "k8s.io.metrics.pkg.apis.external_metrics",
    "internal.apiserver.k8s.io": "k8s.io.api.apiserverinternal",
    "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
    "metrics.k8s.io": "k8s.io.metrics.pkg.apis.metrics",
}
_OWN_GROUPS = frozenset(("", "apps", "autoscaling", "batch", "extensions", "policy"))


@cache
def message_name(api_version: str, kind: str) -> str | None:
    """The full name of the message of an API kind, None when it has none (custom resources, kinds of ours)."""
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group)
    if package is None and (group in _OWN_GROUPS or group.endswith(".k8s.io")):
        package = "k8s.io.api." + group.partition(".")[0]
    name = f"{package}.{version}.{kind}"
    if name in messages():
        return name
    return META + kind if kind in _SHARED else None
