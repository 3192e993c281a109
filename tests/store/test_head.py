"""Preconditions on a field: what a fence checks."""

from __future__ import annotations

import pytest

from arktos.store.head import Head
from arktos.store.records import FieldIs, Header, Key, PreconditionFailed, Record
from arktos.store.sharing import Pool

KEY = Key("controllerinstances", "system", "", "a")


@pytest.mark.parametrize(
    ("uid", "value", "holds"), [("u", "3", True), ("u", "4", False), ("v", "3", False), ("u", "", False)]
)
def test_a_field_of_the_very_object(uid: str, value: str, holds: bool) -> None:
    record = Record(KEY, 7, Header("u", fields={"epoch": "3"}), b"{}")
    head = Head({KEY: record}.get, Pool())
    if holds:
        head.check([FieldIs(KEY, uid, "epoch", value)])
    else:
        with pytest.raises(PreconditionFailed) as failed:
            head.check([FieldIs(KEY, uid, "epoch", value)])
        assert failed.value.current is record


def test_what_is_not_there_has_no_field() -> None:
    with pytest.raises(PreconditionFailed):
        Head({}.get, Pool()).check([FieldIs(KEY, "u", "epoch", "3")])
