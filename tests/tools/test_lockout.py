"""Lock-out of those who guess passwords: pure rules, accounts, and the plant's own server."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.link.client import LinkRefused
from tests.helpers.site import Run, SharedSite, Site
from tools.lockout import LockOut, LockRules
from tools.security import (
    Accounts,
    LoginEvent,
    LoginOutcome,
    SecurityConfig,
    UserConfig,
    ensure_secrets,
    read_password,
)

RULES = LockRules(user_failures=3, remote_failures=6, within_s=60.0, lock_s=10.0)
HERE, THERE = "10.0.0.1", "10.0.0.2"


def lockout() -> LockOut:
    return LockOut(RULES)


def test_a_user_is_locked_after_its_failures_from_anywhere_and_for_a_time_only() -> None:
    lock = lockout()
    assert [lock.failed("anna", r, 1.0) for r in (HERE, THERE, HERE)] == [(), (), ("user",)]
    assert lock.locked("anna", HERE, 10.9) == lock.locked("anna", THERE, 10.9) == "user"
    assert lock.locked("ben", HERE, 5.0) == ""
    assert lock.locked("anna", HERE, 11.0) == ""


def test_what_is_tried_while_locked_does_not_prolong_the_lock() -> None:
    lock = lockout()
    for _ in range(3):
        lock.failed("anna", HERE, 0.0)
    assert lock.locked("anna", HERE, 9.9) == "user"
    assert lock.locked("anna", HERE, 10.0) == ""
    assert lock.failed("anna", HERE, 10.0) == ()  # counted anew


def test_a_remote_is_locked_whatever_the_names_and_others_are_not() -> None:
    lock = lockout()
    told = [lock.failed(f"user{n}", HERE, 0.0) for n in range(6)]
    assert told[-1] == ("remote",)
    assert lock.locked("anna", HERE, 1.0) == "remote"
    assert lock.locked("anna", THERE, 1.0) == ""


def test_failures_long_ago_do_not_count() -> None:
    lock = lockout()
    assert [lock.failed("anna", HERE, t) for t in (0.0, 1.0, 60.5)] == [(), (), ()]
    assert lock.failed("anna", HERE, 60.7) == ("user",)


def test_a_success_forgets_the_failures_before_it() -> None:
    lock = lockout()
    lock.failed("anna", HERE, 0.0)
    lock.failed("anna", HERE, 0.0)
    lock.succeeded("anna", HERE)
    assert [lock.failed("anna", HERE, 1.0) for _ in range(3)] == [(), (), ("user",)]


def test_a_stranger_elsewhere_does_not_lock_the_controller_out() -> None:
    lock = lockout()
    lock.succeeded("controller", HERE)
    for _ in range(3):
        lock.failed("controller", THERE, 0.0)
    assert lock.locked("controller", THERE, 1.0) == "user"
    assert lock.locked("controller", HERE, 1.0) == ""
    for _ in range(3):
        lock.failed("controller", HERE, 2.0)
    assert lock.locked("controller", HERE, 3.0) == "user"


def test_names_made_up_by_the_million_are_forgotten() -> None:
    lock = lockout()
    for n in range(5_000):
        lock.failed(f"user{n}", f"10.0.{n // 250}.{n % 250}", 0.0)
    assert len(lock._users) <= 1_000
    assert len(lock._remotes) <= 1_000


class Hand:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("accounts")
    pair = (
        UserConfig(name="controller", role="controller"),
        UserConfig(name="anna", role="operator"),
    )
    ensure_secrets(made, SecurityConfig(users=pair))
    return made


def test_every_attempt_is_told_with_user_address_and_outcome(folder: Path) -> None:
    told: list[LoginEvent] = []
    found = Accounts(folder / "accounts.json", Hand(), RULES, told.append)
    word = read_password(folder / "anna.password")
    assert found.authenticate("anna", word, HERE) == "operator"
    for _ in range(4):
        assert found.authenticate("anna", "guess", THERE) is None
    assert [(e.user, e.remote, e.outcome) for e in told] == [
        ("anna", HERE, LoginOutcome.ACCEPTED),
        ("anna", THERE, LoginOutcome.REFUSED),
        ("anna", THERE, LoginOutcome.REFUSED),
        ("anna", THERE, LoginOutcome.LOCKING),
        ("anna", THERE, LoginOutcome.LOCKED),
    ]
    assert all(word not in e.text for e in told)


def test_attempts_are_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = Accounts(folder / "accounts.json", Hand(), RULES)
    with caplog.at_level("INFO", "tools.security"):
        found.authenticate("anna\nlogin of 'x' accepted", "guess", HERE)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "\n" not in record.getMessage() and HERE in record.getMessage()


def test_a_name_that_nobody_has_costs_as_much_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes the time is the hash: it is made once, with the same cost, in both cases."""
    patient = replace(RULES, user_failures=1_000, remote_failures=1_000)
    found = Accounts(folder / "accounts.json", Hand(), patient, lambda event: None)
    costs: list[dict[str, object]] = []

    def counted(password: bytes, *, salt: bytes, **cost: int) -> bytes:
        costs.append({"length": len(password), "salt": len(salt), **cost})
        return hashlib.scrypt(password, salt=salt, **cost)

    monkeypatch.setattr("tools.security.hashlib", SimpleNamespace(scrypt=counted))
    assert found.authenticate("anna", "guess", HERE) is None
    assert found.authenticate("nobody", "guess", HERE) is None
    known, unknown = costs
    assert known == unknown


@pytest.fixture(scope="module")
def on_site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    shared = SharedSite(root, tmp_path_factory.mktemp("home"))
    yield shared.run
    shared.close()


@pytest.mark.e2e
@pytest.mark.xdist_group("lockout")
def test_the_plant_locks_a_guesser_and_opens_again(
    on_site: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five wrong passwords lock the user even for the right one; others still get in."""

    async def scenario(site: Site) -> None:
        manager = site.server._server.iserver.user_manager
        accounts: Accounts = manager._authenticate.__self__  # type: ignore[attr-defined]
        monkeypatch.setattr(accounts._lock, "_rules", replace(accounts.rules, lock_s=1.5))
        told: list[LoginEvent] = []
        monkeypatch.setattr(accounts, "audit", told.append)
        good = site.credentials("engineer", "operator")
        for _ in range(accounts.rules.user_failures):
            with pytest.raises(LinkRefused, match="locked for a while"):
                await site.link(replace(good, password="guess")).connect()
        locked_at = time.monotonic()
        with pytest.raises(LinkRefused):
            await site.link(good).connect()
        other = site.link()
        await other.connect()
        await other.drop()
        await asyncio.sleep(max(0.0, locked_at + 1.6 - time.monotonic()))
        link = site.link(good)
        await link.connect()
        await link.drop()
        assert {e.remote for e in told} == {"127.0.0.1"}
        assert [e.outcome for e in told if e.user == "engineer"][-3:] == [
            LoginOutcome.LOCKING,
            LoginOutcome.LOCKED,
            LoginOutcome.ACCEPTED,
        ]

    on_site(scenario)
