"""Accounts, passwords and settings of security."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from tools.lockout import LockRules
from tools.pki import ensure_pki
from tools.security import Accounts, SecurityConfig, UserConfig, ensure_secrets, read_password

PAIR = (
    UserConfig(name="controller", role="controller"),
    UserConfig(name="anna", role="operator"),
)


@dataclass
class Hand:
    """A clock moved by hand."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def accounts(folder: Path, clock: Hand) -> Accounts:
    return Accounts(folder / "accounts.json", clock, LockRules(user_failures=3, lock_s=10.0))


def test_passwords_are_random_private_and_kept_as_hashes_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ensure_secrets(tmp_path / name, SecurityConfig(users=PAIR))
    words = [read_password(tmp_path / n / "anna.password") for n in ("one", "two")]
    assert words[0] != words[1]
    assert all(len(w) == 24 for w in words)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    assert words[0] not in (tmp_path / "one" / "accounts.json").read_text()


def test_a_restart_keeps_the_passwords_and_a_new_user_gets_one(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, SecurityConfig(users=PAIR))
    before = read_password(tmp_path / "anna.password")
    more = SecurityConfig(users=(*PAIR, UserConfig(name="ben", role="observer")))
    ensure_secrets(tmp_path, more)
    assert read_password(tmp_path / "anna.password") == before
    found = accounts(tmp_path, Hand())
    assert found.authenticate("ben", read_password(tmp_path / "ben.password")) == "observer"
    assert found.authenticate("anna", before) == "operator"
    assert found.authenticate("anna", before + "x") is None
    assert found.authenticate("anna", "") is None
    assert found.authenticate("nobody", before) is None


def test_a_user_who_is_no_longer_configured_is_out(tmp_path: Path) -> None:
    three = SecurityConfig(users=(*PAIR, UserConfig(name="ben", role="observer")))
    ensure_secrets(tmp_path, three)
    word = read_password(tmp_path / "ben.password")
    ensure_secrets(tmp_path, SecurityConfig(users=PAIR))
    assert set(json.loads((tmp_path / "accounts.json").read_text())) == {"controller", "anna"}
    assert accounts(tmp_path, Hand()).authenticate("ben", word) is None


def test_guessing_locks_an_account_for_a_while(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, SecurityConfig(users=PAIR))
    word, clock = read_password(tmp_path / "anna.password"), Hand()
    found = accounts(tmp_path, clock)
    for _ in range(3):
        assert found.authenticate("anna", "guess") is None
    assert found.authenticate("anna", word) is None
    assert found.authenticate("controller", read_password(tmp_path / "controller.password"))
    clock.time += 10.1
    assert found.authenticate("anna", word) == "operator"


def test_processes_that_start_together_agree_on_keys_and_passwords(tmp_path: Path) -> None:
    config = SecurityConfig(users=PAIR)

    def start(_: int) -> tuple[bytes, str]:
        ensure_secrets(tmp_path / "secrets", config)
        party = ensure_pki(tmp_path)["plant"]
        word = read_password(tmp_path / "secrets" / "anna.password")
        return party.certificate.read_bytes(), word

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": PAIR[:1]}, "at least 2"),
        ({"users": (*PAIR, PAIR[0])}, "occurs twice"),
        ({"users": (PAIR[0], UserConfig(name="ben", role="observer"))}, "nobody is operator"),
        ({"listen": "localhost"}, "no IP address"),
        ({"listen": "0.0.0.0", "allow_unencrypted": True}, "not a loopback address"),
        ({"key_bits": 1024}, "key_bits"),
        ({"password_characters": 8}, "password_characters"),
    ],
)
def test_unsound_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SecurityConfig.model_validate({"users": PAIR, **change})
