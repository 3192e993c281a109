"""The static token file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arktos.apiserver.tokenfile import BadTokenFile, TokenFile, digest_of, parse


def test_parse() -> None:
    users = parse(
        "\n# token,user,uid,groups,tenant\n"
        "t1,alice,1\n"
        't2,bob,2,"dev, ops"\n'
        't3,admin,3,"dev,system:masters,arktos:tenants",acme\n'
        "t4,carol,4,,globex\n"
        "t5,root,5,system:masters\n"
    )
    found = {name: users[digest_of(name)] for name in ("t1", "t2", "t3", "t4", "t5")}
    assert {name: (user.name, user.uid, user.tenant) for name, user in found.items()} == {
        "t1": ("alice", "1", "system"),
        "t2": ("bob", "2", "system"),
        "t3": ("admin", "3", "acme"),
        "t4": ("carol", "4", "globex"),
        "t5": ("root", "5", "system"),
    }
    assert found["t1"].groups == ("system:authenticated",)
    assert found["t2"].groups == ("dev", "ops", "system:authenticated")
    assert found["t3"].groups == ("dev", "system:authenticated", "arktos:tenants", "arktos:tenant:acme")
    assert "system:masters" in found["t5"].groups
    assert b"t1" not in users


@pytest.mark.parametrize(
    "line",
    [
        "t",
        "t,alice",
        ",alice,1",
        "t,,1",
        "t,alice,1,g,acme,more",
        "t,alice,1,g,all",
        "t,alice,1,g,Acme",
        "t,system:admin,1,g,acme",
        "t,alice,1\nt,bob,2",
    ],
)
def test_bad_lines(line: str) -> None:
    with pytest.raises(BadTokenFile, match="line"):
        parse(line)


def test_reload(tmp_path: Path) -> None:
    time = 0.0
    path = tmp_path / "tokens.csv"
    path.write_text("one,alice,1\n")
    tokens = TokenFile(path, lambda: time)

    def name(token: str) -> str:
        user = tokens.user(digest_of(token))
        return "" if user is None else user.name

    assert (name("one"), name("two")) == ("alice", "")
    path.write_text("two,bob,1,,acme\n")
    assert name("one") == "alice", "not looked at yet"
    time = 6.0
    assert (name("one"), name("two")) == ("", "bob")
    path.write_text("broken")
    time = 12.0
    assert name("two") == "bob", "what was read last stands"
    os.remove(path)
    time = 18.0
    assert name("two") == "bob"
    path.write_text("three,carol,1\n")
    time = 24.0
    assert (name("two"), name("three")) == ("", "carol")


def test_a_file_must_be_good_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        TokenFile(tmp_path / "none")
    (tmp_path / "bad").write_text("x")
    with pytest.raises(BadTokenFile):
        TokenFile(tmp_path / "bad")
