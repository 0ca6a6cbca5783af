"""Who may do what: the security configuration, accounts with random passwords, secrets as files.

Passwords are made at random, once per folder of secrets (one per run), and never shown: each lies
in its own 0600 file for the person or process that uses it; servers see salted scrypt hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import secrets
import stat
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hil.hardening import ServerSecurity
from plant_models.config import StrictModel
from plant_models.signals import Clock
from tools.lockout import LockOut, LockRules
from tools.pki import Party, locked, write_private

__all__ = [
    "Accounts",
    "LoginEvent",
    "LoginOutcome",
    "SecurityConfig",
    "UserConfig",
    "ensure_secrets",
    "read_password",
    "secrets_folder",
    "server_security",
]

log = logging.getLogger(__name__)

_ALPHABET = string.ascii_letters + string.digits
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_ACCOUNTS = "accounts.json"
_NOBODYS_SALT, _NOBODYS_HASH = b"\0" * 16, b"\0" * 32
_LONGEST_NAME, _LONGEST_PASSWORD = 64, 256

Role = Literal[
    "observer", "operator", "supervisor", "engineer", "quality", "administrator", "controller"
]
_ROLES: tuple[Role, ...] = (
    "controller",
    "operator",
    "supervisor",
    "engineer",
    "quality",
    "administrator",
    "observer",
)


class UserConfig(StrictModel):
    """A user and the role that decides what it may write and call."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,31}$")]
    role: Role


class SecurityConfig(StrictModel):
    """Security of the OPC UA servers. Channels are SignAndEncrypt, Basic256Sha256.

    A user is locked for ``lock_time_s`` after ``lock_after_failures`` wrong passwords within
    ``lock_failures_within_s``, an address after ``lock_remote_after_failures`` whatever the names.
    """

    kind: Literal["security"] = "security"
    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    name: str = Field(default="default", min_length=1)
    listen: str = "127.0.0.1"
    allow_unencrypted: bool = False
    certificate_days: Annotated[int, Field(ge=1, le=3650)] = 365
    key_bits: Literal[2048, 3072, 4096] = 2048
    password_characters: Annotated[int, Field(ge=16, le=64)] = 24
    lock_after_failures: Annotated[int, Field(ge=1, le=100)] = 5
    lock_remote_after_failures: Annotated[int, Field(ge=1, le=1000)] = 20
    lock_failures_within_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 300.0
    lock_time_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 10.0
    users: Annotated[tuple[UserConfig, ...], Field(min_length=2)] = tuple(
        UserConfig(name=role, role=role) for role in _ROLES
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [u.name for u in self.users]
        if len(set(names)) != len(names):
            raise ValueError("users: a name occurs twice; every name once")
        for role in ("controller", "operator"):
            if all(u.role != role for u in self.users):
                raise ValueError(f"users: nobody is {role}; at least one user with role {role}")
        try:
            loopback = ipaddress.ip_address(self.listen).is_loopback
        except ValueError as error:
            raise ValueError(
                f"listen: {self.listen!r} is no IP address; an address such as 127.0.0.1"
            ) from error
        if self.allow_unencrypted and not loopback:
            raise ValueError(
                f"allow_unencrypted: {self.listen} is not a loopback address; false, or listen "
                "on 127.0.0.1"
            )
        return self

    def lock_rules(self) -> LockRules:
        """When whoever guesses must wait."""
        return LockRules(
            user_failures=self.lock_after_failures,
            remote_failures=self.lock_remote_after_failures,
            within_s=self.lock_failures_within_s,
            lock_s=self.lock_time_s,
        )

    def user_with(self, role: Role) -> str:
        """Name of the first user with a role."""
        return next(u.name for u in self.users if u.role == role)


def secrets_folder(base: Path) -> Path:
    """Where the passwords lie under a run directory or under the home of the keys."""
    return base / "secrets"


def ensure_secrets(folder: Path, config: SecurityConfig) -> None:
    """Make a random password for each user that has none in ``folder``."""
    with locked(folder):
        file = folder / _ACCOUNTS
        known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        accounts = {}
        for user in config.users:
            held = known.get(user.name)
            if held is None or not (folder / f"{user.name}.password").is_file():
                held = _new_password(folder / f"{user.name}.password", config.password_characters)
            accounts[user.name] = {**held, "role": user.role}
        write_private(file, json.dumps(accounts, indent=1))


def _new_password(file: Path, characters: int) -> dict[str, str]:
    password = "".join(secrets.choice(_ALPHABET) for _ in range(characters))
    salt = secrets.token_bytes(16)
    write_private(file, password + "\n")
    return {"salt": salt.hex(), "hash": _hash(password, salt).hex()}


def read_password(file: Path) -> str:
    """Read a password file; refused when others than its owner may read it."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise PermissionError(f"{file} must be readable by its owner only (0600), not {mode:04o}")
    return file.read_text("utf-8").strip()


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, dklen=32, **_SCRYPT)


class LoginOutcome(StrEnum):
    """What became of an attempt to log in."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LOCKED = "refused while locked"
    LOCKING = "refused and now locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginEvent:
    """One attempt to log in: for the log, the audit trail and alarms. ``time`` is UTC [s]."""

    time: float
    user: str
    remote: str
    outcome: LoginOutcome
    text: str


def _to_log(event: LoginEvent) -> None:
    level = logging.INFO if event.outcome is LoginOutcome.ACCEPTED else logging.WARNING
    log.log(level, "login of %r from %s %s", event.user, event.remote or "here", event.text)


@dataclass
class Accounts:
    """Checks user names and passwords against their hashes, slowly for those who guess.

    ``audit`` learns of every attempt. A name that nobody has costs as much time as one that
    somebody has, and is locked like it; who is locked costs none.
    """

    file: Path
    clock: Clock
    rules: LockRules = field(default_factory=LockRules)
    audit: Callable[[LoginEvent], None] = _to_log
    _lock: LockOut = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._lock = LockOut(self.rules)

    def authenticate(self, user: str, password: str, remote: str = "") -> str | None:
        """Role of ``user`` if ``password`` is right and neither it nor ``remote`` is locked."""
        user, now = user[:_LONGEST_NAME], self.clock.monotonic()
        waits = self._lock.locked(user, remote, now)
        if waits:
            self._tell(user, remote, LoginOutcome.LOCKED, f"refused: the {waits} is locked")
            return None
        role = self._role(user, password)
        if role is not None:
            self._lock.succeeded(user, remote)
            self._tell(user, remote, LoginOutcome.ACCEPTED, f"accepted as {role}")
            return role
        locked = self._lock.failed(user, remote, now)
        if locked:
            text = f"refused; locked for {self.rules.lock_s:g} s: {' and '.join(locked)}"
            self._tell(user, remote, LoginOutcome.LOCKING, text)
        else:
            self._tell(user, remote, LoginOutcome.REFUSED, "refused: wrong name or password")
        return None

    def _role(self, user: str, password: str) -> str | None:
        account = json.loads(self.file.read_text("utf-8")).get(user)
        salt = bytes.fromhex(account["salt"]) if account else _NOBODYS_SALT
        wanted = bytes.fromhex(account["hash"]) if account else _NOBODYS_HASH
        found = hmac.compare_digest(_hash(password[:_LONGEST_PASSWORD], salt), wanted)
        return str(account["role"]) if account and found else None

    def _tell(self, user: str, remote: str, outcome: LoginOutcome, text: str) -> None:
        self.audit(
            LoginEvent(time=self.clock.now(), user=user, remote=remote, outcome=outcome, text=text)
        )


def server_security(
    party: Party,
    folder: Path,
    config: SecurityConfig,
    clock: Clock,
    audit: Callable[[LoginEvent], None] = lambda event: None,
) -> ServerSecurity:
    """What a server of ``party`` needs, with the accounts in the folder of secrets.

    ``audit`` learns of every attempt to log in, after the log.
    """

    def told(event: LoginEvent) -> None:
        _to_log(event)
        audit(event)

    accounts = Accounts(folder / _ACCOUNTS, clock, config.lock_rules(), told)
    return ServerSecurity(
        certificate=party.certificate,
        private_key=party.private_key,
        authenticate=accounts.authenticate,
        trusts=party.trust_list(),
        allow_none=config.allow_unencrypted,
    )
