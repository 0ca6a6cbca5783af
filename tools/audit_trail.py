"""What goes on a controller's audit trail: attempts to log in, and calls with their answers."""

from __future__ import annotations

from collections.abc import Callable

from controller.link.server_desk import Audit, Person
from controller.records.audit import AuditEntry, AuditTrail
from tools.security import LoginEvent, LoginOutcome

__all__ = ["calls_to", "logins_to"]


def logins_to(trail: AuditTrail) -> Callable[[LoginEvent], None]:
    """Keeps attempts to log in, those apart that a lock turns away at once: they are in the log.

    Of these there may be any number; that the lock fell, and for how long, is on the trail.
    """

    def keep(event: LoginEvent) -> None:
        if event.outcome is LoginOutcome.LOCKED:
            return
        trail.note(
            AuditEntry(
                time=event.time,
                user=event.user,
                origin=event.remote,
                what="login",
                accepted=event.outcome is LoginOutcome.ACCEPTED,
                answer=event.text,
            )
        )

    return keep


def calls_to(trail: AuditTrail, now: Callable[[], float]) -> Audit:
    """Keeps calls of methods; ``now`` is the time [s, UTC]."""

    def keep(person: Person, what: str, reason: str, accepted: bool, answer: str) -> None:
        trail.note(
            AuditEntry(
                time=now(),
                user=person.user,
                role=person.role,
                origin=f"session {person.session}",
                what=what,
                reason=reason,
                accepted=accepted,
                answer=answer,
            )
        )

    return keep
