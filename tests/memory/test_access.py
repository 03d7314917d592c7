"""Access keys: each opens one tenant's memory, until it is revoked."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from memory import AccessDenied, AccessRole, Archive, UnknownKey, WrongState


@pytest.fixture
def two(url):
    with Archive.open(url) as archive:
        yield archive, archive.store("tom"), archive.store("mia")


def test_a_key_opens_its_own_tenant_and_no_other(two):
    archive, tom, mia = two
    (_, opens_tom), (_, opens_mia) = tom.keys.issue("phone"), mia.keys.issue("phone")
    assert archive.opened_with(opens_tom)[0].tenant == "tom"
    assert archive.opened_with(opens_mia)[0].tenant == "mia"


@pytest.mark.parametrize("role", AccessRole)
def test_a_key_says_what_it_may(two, role):
    archive, tom, _ = two
    key, opens = tom.keys.issue("phone", role)
    assert archive.opened_with(opens)[1] == key
    assert (key.role, tom.keys.every()) == (role, (key,))


def test_a_role_that_was_raised_behind_the_ledger_is_named(two):
    archive, tom, _ = two
    key, _ = tom.keys.issue("phone", AccessRole.CHAT)
    assert tom.verify().problems == ()
    with archive._engine.begin() as connection:
        connection.execute(sa.text("UPDATE access_keys SET role = 'operate'"))
    assert any(key.id in problem for problem in tom.verify().problems)


def test_a_revoked_key_opens_nothing(two):
    archive, tom, _ = two
    key, opens = tom.keys.issue("phone")
    assert tom.keys.revoke(key.id).revoked_at is not None
    with pytest.raises(AccessDenied):
        archive.opened_with(opens)
    with pytest.raises(WrongState, match="revoked already"):
        tom.keys.revoke(key.id)


def test_no_part_of_a_key_and_no_mixture_of_two_opens_anything(two):
    archive, tom, mia = two
    (_, one), (_, other) = tom.keys.issue("phone"), mia.keys.issue("phone")
    (id_, secret), (other_id, _) = one.split("."), other.split(".")
    wrong = ("", ".", id_, f"{id_}.", f".{secret}", secret, f"{other_id}.{secret}", one + "x", one[:-1], "\0")
    for attempt in wrong:
        with pytest.raises(AccessDenied):
            archive.opened_with(attempt)


def test_a_key_itself_is_not_kept(two):
    archive, tom, _ = two
    _, opens = tom.keys.issue("phone")
    secret = opens.partition(".")[2]
    with archive._engine.connect() as connection:
        rows = [str(row) for row in connection.execute(sa.text("SELECT * FROM access_keys"))]
    assert len(rows) == 1
    assert secret not in rows[0]
    assert secret not in str(list(tom.export()))


def test_another_tenant_cannot_revoke_it_or_see_it(two):
    _, tom, mia = two
    key, _ = tom.keys.issue("phone")
    assert mia.keys.every() == ()
    with pytest.raises(UnknownKey):
        mia.keys.revoke(key.id)
    assert [each.id for each in tom.keys.every()] == [key.id]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE access_keys SET revoked_at = NULL",
        "UPDATE access_keys SET digest = 'x'",
        "UPDATE access_keys SET role = 'audit'",
        "DELETE FROM access_keys",
    ],
)
def test_a_key_that_was_changed_behind_the_ledger_is_named(two, change):
    archive, tom, _ = two
    key, _ = tom.keys.issue("phone")
    tom.keys.revoke(key.id)
    assert tom.verify().problems == ()
    with archive._engine.begin() as connection:
        connection.execute(sa.text(change))
    assert any(key.id in problem for problem in tom.verify().problems)


def test_forgetting_a_tenant_takes_its_keys(two):
    archive, tom, _ = two
    _, opens = tom.keys.issue("phone")
    tom.forget_everything()
    with pytest.raises(AccessDenied):
        archive.opened_with(opens)
    assert archive.verify().problems == ()


def test_a_database_has_had_keys_once_one_was_issued_even_if_it_is_revoked(two):
    archive, tom, _ = two
    assert not archive.has_keys()
    tom.keys.revoke(tom.keys.issue("phone")[0].id)
    assert archive.has_keys()
