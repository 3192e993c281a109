"""JSON and YAML documents and their bounds."""

from __future__ import annotations

import re

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from arktos.wire import json, yaml

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_encoded_is_decoded(value: object) -> None:
    assert json.decode(json.encode(value)) == value


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{}x", b"[NaN]", b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf{}", b"[1e400]", b"nul"]
)
def test_what_is_not_json(data: bytes) -> None:
    with pytest.raises(json.DecodeError):
        json.decode(data)


@pytest.mark.parametrize("depth", [201, 900, 100_000])
@pytest.mark.parametrize("piece", [b"[", b'{"a":'])
def test_depth_is_bounded(depth: int, piece: bytes) -> None:
    close = b"]" if piece == b"[" else b"}"
    with pytest.raises(json.DecodeError, match="depth"):
        json.decode(piece * depth + b"1" + close * depth)
    with pytest.raises(json.DecodeError, match="depth"):
        yaml.decode(piece * depth + b"1" + close * depth)
    if piece == b"[":
        with pytest.raises(json.DecodeError, match="depth"):
            yaml.decode(b"- " * depth + b"1")


def test_wide_documents_are_not_deep() -> None:
    wide = json.encode([{"a": [n]} for n in range(10_000)])
    assert len(json.decode(wide)) == 10_000


@pytest.mark.parametrize(
    ("data", "name"), [(b"null", "null"), (b"[]", "array"), (b"1", "number"), (b'"x"', "string"), (b"true", "boolean")]
)
def test_objects_only(data: bytes, name: str) -> None:
    with pytest.raises(json.DecodeError, match=f"got {name}"):
        json.decode_object(data)
    assert json.decode_object(b'{"a":1}') == {"a": 1}


def test_duplicate_fields() -> None:
    data = b'{"a":1,"b":{"c":1,"c":2,"c":3},"a":2,"l":[0,{"x":{"y":1,"y":2}}]}'
    assert json.duplicate_fields(data) == ["a", "b.c", "l[1].x.y"]
    assert json.decode(data)["a"] == 2
    assert json.duplicate_fields(b'{"a":{"a":[{"a":1},{"a":1}]}}') == []
    assert json.duplicate_fields(b"{") == json.duplicate_fields(b"[" * 100_000) == []


def test_duplicate_fields_of_yaml() -> None:
    assert yaml.duplicate_fields(b"a: 1\nb: {c: 1, c: 2}\na: 2\nl: [{x: 1, x: 2}]\n") == ["b.c", "a", "l[0].x"]
    assert yaml.duplicate_fields(b'{"a":1,"a":2}') == ["a"]
    assert yaml.duplicate_fields(b"a: [") == []


def test_yaml_scalars_as_go_reads_them() -> None:
    said: dict[str, object] = {
        "yes": True,
        "n": False,
        "'yes'": "yes",
        "2001-12-14": "2001-12-14",
        "1:30": "1:30",
        "0777": 511,
        "0o17": 15,
        "0x1F": 31,
        "08": 8.0,
        "1_000": 1000,
        "+12": 12,
        "-5": -5,
        "1e3": 1000.0,
        ".5": 0.5,
        "1.2.3": "1.2.3",
        "~": None,
        "": None,
        "!!str 12": "12",
        "!!float 1": 1.0,
        "!!binary aGk=": "hi",
        "|\n  two\n  lines": "two\nlines\n",
    }
    text = "".join(f"k{n}: {scalar}\n" for n, scalar in enumerate(said))
    assert yaml.decode(text.encode()) == {f"k{n}": value for n, value in enumerate(said.values())}


def test_yaml_keys_are_strings() -> None:
    assert yaml.decode(b"{1: a, true: b, 1.5: c, ~: d, y: e}") == {"1": "a", "true": "e", "1.5": "c", "null": "d"}


def test_anchors_give_separate_values_and_merges_keep_what_is_said() -> None:
    decoded = yaml.decode(b"base: &b {p: [1], q: 2}\none: *b\ntwo: {<<: *b, q: 3}\nthree: {<<: [{r: 1}, *b]}")
    base = {"p": [1], "q": 2}
    assert decoded == {"base": base, "one": base, "two": {"q": 3, "p": [1]}, "three": {"r": 1, **base}}
    decoded["one"]["p"].append(5)
    assert decoded["base"]["p"] == decoded["two"]["p"] == [1]


def test_a_billion_laughs() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    with pytest.raises(json.DecodeError, match="aliasing"):
        yaml.decode("\n".join(lines).encode())


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"a: b: c",
            b"--- 1\n--- 2",
            b"a: .nan",
            b"a: -.inf",
            b"!!python/object:os.system x",
            b"*a",
            b"&a [*a]",
            b"\x00",
        ),
        *(
            b"? [1]\n: 2",
            b"{a: 1",
            b"a: !!binary '\xc3'",
            b"a: !!int x",
            b"\xff\xff\xff",
            b"<<: 1",
            b"a: !!set {x}",
            b"a: 1e999",
        ),
    ],
)
def test_what_is_not_yaml(data: bytes) -> None:
    with pytest.raises(json.DecodeError):
        yaml.decode(data)


def test_empty_yaml_is_null_and_json_is_yaml() -> None:
    assert yaml.decode(b"") is None and yaml.decode(b"# nothing\n") is None
    assert json.decode_yaml(b' {"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert yaml.decode(b"{a: 1, 'b': x}") == {"a": 1, "b": "x"}


@given(st.one_of(st.binary(max_size=60), st.text(alphabet="abn0:-.*&!<{}[],'\"|>? \n#~_", max_size=60).map(str.encode)))
def test_any_bytes_give_a_value_or_an_error(data: bytes) -> None:
    for decode in (json.decode, yaml.decode):
        try:
            json.encode(decode(data))
        except json.DecodeError as error:
            assert str(error)


# What PyYAML takes for a string and Kubernetes does not: `y` and `n`, numbers with an exponent and no point.
_OURS = re.compile(r"[yYnN]|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+")
safe = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\x85\u2028\u2029")
).filter(lambda text: not _OURS.fullmatch(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | safe,
        lambda inner: st.lists(inner) | st.dictionaries(safe, inner),
        max_leaves=10,
    )
)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    assert yaml.decode(pyyaml.safe_dump(value, allow_unicode=True).encode()) == value
