"""The audit trail: who logged in or tried to, and what people asked, why, with what answer.

A table of its own in the database of the run. It only grows: the database refuses to change or to
delete a row. Written as things happen, on a thread and a connection of its own, so that nobody who
asks waits for the disk, and so that what never reached a cycle is there as well. Time is that of
the controller's clock [s, UTC].
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

__all__ = ["LONGEST_TEXT", "MOST_WAITING", "AuditEntry", "AuditTrail", "read_audit"]

log = logging.getLogger(__name__)

LONGEST_TEXT = 500
MOST_WAITING = 1000

_METADATA = sa.MetaData()
_AUDIT = sa.Table(
    "audit",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
)


def _only_grows(verb: str) -> Any:
    ddl: Any = sa.DDL
    return ddl(
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END"
    ).execute_if(dialect="sqlite")


for _verb in ("UPDATE", "DELETE"):
    sa.event.listen(_AUDIT, "after_create", _only_grows(_verb))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line; ``origin`` is the session or the address that it came from."""

    time: float
    user: str
    role: str = ""
    origin: str = ""
    what: str
    reason: str = ""
    accepted: bool
    answer: str


class AuditTrail:
    """Writes entries. `note` may be called from any thread; it neither waits nor raises.

    Parameters
    ----------
    url
        Database, as for the historian.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        _METADATA.create_all(self._engine)
        self._appender = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._room = BoundedSemaphore(MOST_WAITING)

    def note(self, entry: AuditEntry) -> None:
        """Write an entry soon. One that cannot be written is in the log, whole."""
        if not self._room.acquire(blocking=False):
            log.error("%d audit entries wait to be written; lost: %s", MOST_WAITING, entry)
            return
        try:
            future = self._appender.submit(self._write, entry)
        except RuntimeError:
            self._room.release()
            log.error("the audit trail is closed; lost: %s", entry)
            return
        future.add_done_callback(self._written(entry))

    def close(self) -> None:
        """Write what waits, and finish."""
        self._appender.shutdown(wait=True)
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, entry: AuditEntry) -> None:
        row = {k: _plain(v) if isinstance(v, str) else v for k, v in asdict(entry).items()}
        with self._engine.begin() as connection:
            connection.execute(sa.insert(_AUDIT), row)

    def _written(self, entry: AuditEntry) -> Callable[[Future[None]], None]:
        def done(future: Future[None]) -> None:
            self._room.release()
            error = future.exception()
            if error is not None:
                log.error("an audit entry could not be written (%s): %s", error, entry)

        return done


def read_audit(url: str, user: str = "") -> list[AuditEntry]:
    """Entries of a run in their order, of one ``user`` or of all; none if nothing was kept."""
    engine = _engine(url)
    try:
        if not sa.inspect(engine).has_table(_AUDIT.name):
            return []
        columns = [_AUDIT.c[f.name] for f in fields(AuditEntry)]
        query = sa.select(*columns).order_by(_AUDIT.c.number)
        if user:
            query = query.where(_AUDIT.c.user == user)
        with engine.connect() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]
    finally:
        engine.dispose()


def _plain(text: str) -> str:
    """Text of others: none too long, none that forges a line."""
    return "".join(c if c.isprintable() else "�" for c in text[:LONGEST_TEXT])


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
                connection.execute(f"PRAGMA {pragma}")

    return engine
