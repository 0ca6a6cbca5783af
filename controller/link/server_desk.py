"""Where method calls become requests to the controller, and their answers.

User and role are those of the session; they and the reason go with every request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from controller.link.server_methods import Given, Method, Misfit, Who
from plant_models.signals import SignalTable

__all__ = ["LONGEST_TEXT", "MOST_WAITING", "Audit", "Desk", "Person", "Requests"]

log = logging.getLogger(__name__)

LONGEST_TEXT = 500
MOST_WAITING = 32


class Person(Protocol):
    """Who calls, from the authenticated session."""

    @property
    def session(self) -> str:
        """Session, unique in the life of the server."""
        ...

    @property
    def user(self) -> str:
        """User name."""
        ...

    @property
    def role(self) -> str:
        """Role of the user."""
        ...


class Requests(Protocol):
    """Who answers people: accepted or not, and a sentence."""

    async def ask(self, request: object) -> tuple[bool, str]:
        """Put a request to the next cycle."""
        ...


class Audit(Protocol):
    """Who keeps what people asked."""

    def __call__(self, person: Person, what: str, reason: str, accepted: bool, answer: str) -> None:
        """Keep one call and its answer."""
        ...


class Desk:
    """Where method calls become requests and their answers.

    Parameters
    ----------
    requests
        Who answers.
    caller
        Who calls the method that runs now.
    table
        Signal list.
    audit
        Who keeps what was asked, if anybody.
    """

    def __init__(
        self,
        requests: Requests,
        caller: Callable[[], Person],
        table: SignalTable,
        audit: Audit | None = None,
    ) -> None:
        self._requests, self._caller, self._table = requests, caller, table
        self._audit = audit
        self._waiting = 0

    async def call(self, method: Method, *given: Any) -> tuple[bool, str]:
        """Answer one call; ``given`` are the values of the arguments in their order."""
        person = self._caller()
        named = dict(zip((a.name for a in method.arguments), given, strict=True))
        reason = str(named["reason"])
        try:
            _check_texts(named)
            who = Who(person.user, person.role, named.pop("reason"))
            request = method.build(who, named, self._table)
        except Misfit as error:
            answer = False, str(error)
        else:
            answer = await self._ask(request)
        told = ", ".join(f"{k}={v!r}" for k, v in named.items() if k != "reason")
        self._keep(person, f"{method.name}({told})", reason, *answer)
        return answer

    def refused(self, what: str, reason: str, why: str) -> None:
        """Keep a call that is answered without asking anybody."""
        self._keep(self._caller(), what, reason, False, why)

    def _keep(self, person: Person, what: str, reason: str, accepted: bool, answer: str) -> None:
        word = "accepted" if accepted else "refused"
        log.info("%s calls %s, %r: %s, %s", person.user, what, reason, word, answer)
        if self._audit is not None:
            self._audit(person, what, reason, accepted, answer)

    async def _ask(self, request: object) -> tuple[bool, str]:
        if self._waiting >= MOST_WAITING:
            return False, f"{MOST_WAITING} requests wait for an answer; ask again in a minute"
        self._waiting += 1
        try:
            return await self._requests.ask(request)
        finally:
            self._waiting -= 1


def _check_texts(named: Given) -> None:
    """Texts end up in logs and on record: none too long, none that forges a line."""
    for name, value in named.items():
        if not isinstance(value, str):
            continue
        if len(value) > LONGEST_TEXT:
            raise Misfit(f"{name} has {len(value)} characters; at most {LONGEST_TEXT}")
        if not value.isprintable():
            raise Misfit(f"{name} holds characters that cannot be printed")
