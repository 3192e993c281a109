"""References in commands and values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.spec.expansion import expand, expand_all, expand_strictly
from arktos.agent.spec.facts import ConfigError

NAMES = st.text(st.characters(codec="ascii", exclude_characters="$()"), min_size=1, max_size=8)
PLAIN = st.text(st.characters(exclude_characters="$"), max_size=12)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(A", "$(A"),
        ("$(A $(B)", "$(A $(B)"),
        ("$", "$"),
        ("a$", "a$"),
        ("$A", "$A"),
        ("$()", "$()"),
        ("$(EMPTY)!", "!"),
        ("$(NEST)", "$(A)"),
        ("", ""),
    ],
)
def test_references_as_kubernetes_reads_them(written: str, read: str) -> None:
    assert expand(written, {"A": "1", "B": "2", "EMPTY": "", "NEST": "$(A)"}.get) == read


@given(st.lists(st.one_of(PLAIN.map(lambda text: (text, text)), NAMES.map(lambda name: (f"$({name})", f"<{name}>")))))
def test_what_is_defined_is_replaced_and_nothing_else(parts: list[tuple[str, str]]) -> None:
    # Neighbouring plain parts cannot make a reference: they have no dollar.
    written, read = "".join(each[0] for each in parts), "".join(each[1] for each in parts)
    assert expand(written, lambda name: f"<{name}>") == read


@given(st.text(max_size=30))
def test_doubled_dollars_write_any_text(text: str) -> None:
    assert expand(text.replace("$", "$$"), lambda name: "lost") == text


@given(st.text("$()AB", max_size=30))
def test_without_definitions_only_doubled_dollars_change(text: str) -> None:
    read = expand(text, lambda name: None)
    assert read.replace("$", "") == text.replace("$", "")
    assert len(read) <= len(text)
    if "$$" not in text:
        assert read == text


def test_commands_and_arguments() -> None:
    assert expand_all(["/bin/$(X)", "-n", "$(Y)"], {"X": "sh"}) == ["/bin/sh", "-n", "$(Y)"]
    assert expand_all(None, {}) == []


def test_a_path_must_be_defined_whole() -> None:
    assert expand_strictly("logs/$(POD)", {"POD": "web-0"}) == "logs/web-0"
    with pytest.raises(ConfigError, match='missing value for "POD"'):
        expand_strictly("logs/$(POD)", {})
