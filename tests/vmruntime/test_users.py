"""Whom QEMU processes run as."""

from __future__ import annotations

from arktos.vmruntime.users import User, Users, uid_exists


def test_each_machine_has_a_user_of_its_own() -> None:
    users = Users(User(65534, 65534), 1000)
    users.hold(1001)
    assert [users.claim() for _ in range(3)] == [1000, 1002, 1003]
    users.release(1002)
    users.release(1002)
    assert (users.claim(), users.claim()) == (1002, 1004)
    assert users.user(1002) == User(1002, 1002)


def test_machines_without_one_share_the_common_one() -> None:
    users = Users(User(65534, 65534))
    assert (users.claim(), users.claim()) == (0, 0)
    assert users.user(0) == User(65534, 65534)


def test_uids_that_there_are() -> None:
    assert uid_exists(0) and not uid_exists(2**32)
