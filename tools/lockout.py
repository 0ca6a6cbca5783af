"""Who has guessed too often: failures per user and per remote address, and until when each waits.

A user is locked after ``user_failures`` failures and so is an address after ``remote_failures``,
whatever user names it tried; a name that does not exist is counted like any other, so that a lock
tells nobody which names there are. The lock ends by itself; what is tried meanwhile neither counts
nor makes it longer. From the address where a user last logged in only failures from there count,
so that a stranger elsewhere cannot lock the controller out of its plant.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

__all__ = ["Attempts", "LockOut", "LockRules"]

# Names and addresses remembered at once; the oldest is forgotten first.
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRules:
    """After how many failures within ``within_s`` whom to lock, and for how long [s]."""

    user_failures: int = 5
    remote_failures: int = 20
    within_s: float = 300.0
    lock_s: float = 10.0


@dataclass(slots=True)
class Attempts:
    """Times [s] of the failures that count, and until when there is a lock."""

    failures: list[float] = field(default_factory=list)
    locked_until: float = float("-inf")

    def locked(self, now: float) -> bool:
        """Whether nothing is accepted now."""
        return now < self.locked_until

    def fail(self, now: float, allowed: int, rules: LockRules) -> bool:
        """Count a failure; whether it is the one that locks."""
        self.failures = [t for t in self.failures if now - t < rules.within_s]
        self.failures.append(now)
        if len(self.failures) < allowed:
            return False
        self.failures.clear()
        self.locked_until = now + rules.lock_s
        return True


class LockOut:
    """Failures of logging in. Times are given by the caller, in seconds that never step back."""

    def __init__(self, rules: LockRules) -> None:
        self._rules = rules
        self._users: OrderedDict[tuple[str, str], Attempts] = OrderedDict()
        self._remotes: OrderedDict[tuple[str, str], Attempts] = OrderedDict()
        self._home: OrderedDict[str, str] = OrderedDict()

    def locked(self, user: str, remote: str, now: float) -> str:
        """Who must wait: ``user``, ``remote``, or nobody (empty)."""
        if self._remotes.get(("", remote), _NONE).locked(now):
            return "remote"
        return "user" if self._users.get(self._key(user, remote), _NONE).locked(now) else ""

    def failed(self, user: str, remote: str, now: float) -> tuple[str, ...]:
        """Count a failure; who is locked by it (``user``, ``remote``)."""
        rules = self._rules
        of_user = _recall(self._users, self._key(user, remote))
        of_remote = _recall(self._remotes, ("", remote))
        found = []
        if of_user.fail(now, rules.user_failures, rules):
            found.append("user")
        if of_remote.fail(now, rules.remote_failures, rules):
            found.append("remote")
        return tuple(found)

    def succeeded(self, user: str, remote: str) -> None:
        """Forget the failures of a user who has logged in, and remember where from."""
        self._users.pop(self._key(user, remote), None)
        self._home[user] = remote
        self._home.move_to_end(user)
        self._users.pop((user, remote), None)
        while len(self._home) > _MOST_REMEMBERED:
            self._home.popitem(last=False)

    def _key(self, user: str, remote: str) -> tuple[str, str]:
        """Failures at the address of the last login count for themselves."""
        return (user, remote) if self._home.get(user) == remote else (user, "")


_NONE = Attempts()


def _recall(known: OrderedDict[tuple[str, str], Attempts], key: tuple[str, str]) -> Attempts:
    found = known.setdefault(key, Attempts())
    known.move_to_end(key)
    while len(known) > _MOST_REMEMBERED:
        known.popitem(last=False)
    return found
