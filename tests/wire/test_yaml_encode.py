"""YAML that is written is read again as what it was, by us and by others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from arktos.wire import yaml, yaml_encode

_TEXTS = st.text() | st.sampled_from(
    [
        *("", "~", "null", "yes", "No", "on", "y", "1", "1_0", "0x1f", "1:30", "2026-01-01", "2026-01-01T00:00:00Z"),
        *(
            ".inf",
            "-",
            "- a",
            "a: b",
            "a:b",
            "a #b",
            "a#b",
            "#a",
            "<<",
            "=",
            "!x",
            "&a",
            "*a",
            "?",
            "? a",
            "a:",
            " a",
            "a ",
        ),
        *(
            "a\nb",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a\n b\n",
            "a\r\nb",
            "a\tb\nc",
            "a \n\nb\n",
            "\x85",
            "a\u2028b",
            "\x7f",
        ),
        *(
            "%a",
            "@a",
            "`a",
            "'a'",
            '"a"',
            "{a}",
            "[a]",
            "a, b",
            "ü",
            "\U0001f600",
            "\ufeffa",
            "nginx:1.2",
            "--- a",
            "...",
        ),
    ]
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(_values)
@example({"k" * 1500: {"a": [[1, [2]], {}, [], ""]}})
@example({"a": {"text": "x\n" * 3, "list": ["y\nz", {"b": "c\n\n"}]}})
def test_what_is_written_is_read_again(value: Any) -> None:
    document = yaml_encode.encode(value)
    assert yaml.decode(document) == value, document
    assert pyyaml.safe_load(document.decode()) == value or _has_float(value), document


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    return any(map(_has_float, value)) if isinstance(value, list) else isinstance(value, float)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": "x"}, "a: x\nb: 1\n"),
        ({"a": [{"c": 1, "b": 2}, "x", []]}, "a:\n- b: 2\n  c: 1\n- x\n- []\n"),
        ({"a": {"b": {}}}, "a:\n  b: {}\n"),
        ({"a": "x\ny\n"}, "a: |\n  x\n  y\n"),
        ({"a": "true", "b": None, "c": "1"}, 'a: "true"\nb: null\nc: "1"\n'),
        ({"image": "registry.example/web:1.2"}, "image: registry.example/web:1.2\n"),
    ],
)
def test_how_it_looks(value: Any, text: str) -> None:
    assert yaml_encode.encode(value).decode() == text
