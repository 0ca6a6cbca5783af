"""The historian: every cycle whole, the controller's state now and then, and what people did.

SQLAlchemy Core; an embedded SQLite file in WAL mode by default. A cycle is one transaction, so that
a killed process loses at most the cycle that it was writing; with ``synchronous = NORMAL`` a commit
does not wait for the disk, only a power cut could cost the last seconds. Every start of a
controller in the same run counts its cycles anew under its own ``start`` number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from pydantic import BaseModel

from controller.cycle_data import CycleOutput, CycleSetup, CycleState
from controller.data import CycleRecord
from controller.products.requests import ProductRequest
from controller.products.sets import as_facts
from controller.records.codec import decode, decode_state, encode, encode_state
from plant_models.line import ResolvedLine

__all__ = ["Historian", "History", "HistoryError", "Summary", "sqlite_url"]

STATE_EVERY = 60

_METADATA = sa.MetaData()
_STARTS = sa.Table(
    "starts",
    _METADATA,
    sa.Column("start", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("facts", sa.Text, nullable=False),
)
_CYCLES = sa.Table(
    "cycles",
    _METADATA,
    sa.Column("start", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cycle", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("scan_id", sa.BigInteger, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("reached_by", sa.Text, nullable=False),
    sa.Column("sent", sa.Boolean, nullable=False),
    sa.Column("wall_ms", sa.Float, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)
_STATES = sa.Table(
    "states",
    _METADATA,
    sa.Column("start", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cycle", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
_EVENTS = sa.Table(
    "events",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("cycle", sa.Integer, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)


class HistoryError(LookupError):
    """What was asked for is not in the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The columns of a cycle that can be read without its record."""

    start: int
    cycle: int
    time: float
    mode: str
    reached_by: str
    sent: bool
    wall_ms: float


def sqlite_url(path: Path) -> str:
    """Database URL of a SQLite file."""
    return f"sqlite:///{path}"


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=2000"):
                connection.execute(f"PRAGMA {pragma}")

    return engine


class Historian:
    """Writes the history of one start of a controller. Not shared between threads.

    Parameters
    ----------
    url
        Database; `sqlite_url` for a file.
    setup
        What the cycles run with; its hashes and settings are kept with the start.
    state
        State before the first cycle, from which a replay can begin.
    """

    def __init__(self, url: str, setup: CycleSetup, state: CycleState) -> None:
        self._engine = _engine(url)
        _METADATA.create_all(self._engine)
        self._connection = self._engine.connect()
        with self._connection.begin():
            last = self._connection.execute(sa.select(sa.func.max(_STARTS.c.start))).scalar()
            self.start = int(last or 0) + 1
            facts = {
                "algorithm": setup.config.algorithm,
                "controller": setup.config.name,
                "epoch": state.epoch,
                "hashes": dict(setup.hashes),
                "configuration": setup.config.model_dump(mode="json", by_alias=True),
                "line": _line_facts(setup.line),
            }
            if setup.product is not None:
                facts["product_set"] = as_facts(setup.product)
            self._connection.execute(
                sa.insert(_STARTS), {"start": self.start, "facts": json.dumps(facts)}
            )
            self._keep(state, "start")

    def append(self, output: CycleOutput, record: CycleRecord | None = None) -> None:
        """Write one cycle, and its state when due, in one transaction.

        Parameters
        ----------
        output
            Outcome of the cycle.
        record
            Its record with what became known since (wall times); by default the one in ``output``.
        """
        r = output.record if record is None else record
        row = {
            "start": self.start,
            "cycle": r.cycle,
            "time": r.time,
            "scan_id": r.snapshot.scan_id,
            "mode": str(r.mode),
            "reached_by": "" if r.plan is None else r.plan.reached_by.name,
            "sent": r.command.frame is not None,
            "wall_ms": r.wall_ms.get("total", sum(r.wall_ms.values())),
            "record": encode(r),
        }
        with self._connection.begin():
            self._connection.execute(sa.insert(_CYCLES), row)
            if output.transitions:
                self._keep(output.state, f"mode {r.mode}")
            elif r.cycle % STATE_EVERY == 0:
                self._keep(output.state, f"every {STATE_EVERY} cycles")
            for event in _events(output):
                self._connection.execute(
                    sa.insert(_EVENTS),
                    {"start": self.start, "cycle": r.cycle, "time": r.time, **event},
                )

    def _keep(self, state: CycleState, reason: str) -> None:
        row = {
            "start": self.start,
            "cycle": state.cycle,
            "reason": reason,
            "state": encode_state(state),
        }
        self._connection.execute(sa.insert(_STATES), row)

    def close(self) -> None:
        """Finish writing."""
        self._connection.close()
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


def _line_facts(line: ResolvedLine) -> dict[str, Any]:
    """Everything that describes the line, so that a replay needs no file but the database."""

    def dump(model: BaseModel) -> dict[str, Any]:
        return model.model_dump(mode="json", by_alias=True)

    return {
        "line": dump(line.line),
        "product": dump(line.product),
        "blend": dump(line.blend),
        "components": [dump(c) for c in line.components],
    }


def _events(output: CycleOutput) -> list[dict[str, str]]:
    rows = [
        {"kind": "mode", "who": t.by, "text": f"{t.before} -> {t.after}: {t.reason}"}
        for t in output.transitions
    ]
    rows += [
        {
            "kind": "request",
            "who": a.request.user,
            "text": f"{a.request.mode} ({a.request.reason}): {a.text}",
        }
        for a in output.answers
    ]
    rows += [
        {
            "kind": "target",
            "who": t.request.user,
            "text": f"{t.request.variable} = {t.request.value:.6g} ({t.request.reason}): {t.text}",
        }
        for t in output.target_answers
    ]
    rows += [
        {
            "kind": "product",
            "who": a.request.user,
            "text": f"{a.request.action} {a.request.set_hash} ({a.request.reason}): {a.text}",
        }
        for a in output.operator_answers
        if isinstance(a.request, ProductRequest)
    ]
    if output.request_control is not None:
        rows.append({"kind": "control", "who": "supervision", "text": output.request_control})
    return rows


class History:
    """Reads what a `Historian` wrote, also while it is still writing."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        if not sa.inspect(self._engine).has_table(_CYCLES.name):
            raise HistoryError(f"{url} holds no history")

    def starts(self) -> list[int]:
        """Numbers of the starts of the controller, in order."""
        with self._engine.connect() as c:
            return list(c.execute(sa.select(_STARTS.c.start).order_by(_STARTS.c.start)).scalars())

    def facts(self, start: int) -> Mapping[str, Any]:
        """Hashes and settings of a start."""
        query = sa.select(_STARTS.c.facts).where(_STARTS.c.start == start)
        with self._engine.connect() as c:
            text = c.execute(query).scalar()
        if text is None:
            raise HistoryError(f"there is no start {start}")
        facts: dict[str, Any] = json.loads(text)
        return facts

    def summaries(self, start: int | None = None) -> list[Summary]:
        """Columns of all cycles, of one start or of all, in order."""
        columns = [c for c in _CYCLES.c if c.name not in ("record", "scan_id")]
        query = sa.select(*columns).order_by(_CYCLES.c.start, _CYCLES.c.cycle)
        if start is not None:
            query = query.where(_CYCLES.c.start == start)
        with self._engine.connect() as c:
            return [Summary(**row) for row in c.execute(query).mappings()]

    def records(self, start: int, first: int = 1, last: int | None = None) -> Iterator[CycleRecord]:
        """Whole records of cycles ``first`` to ``last`` (inclusive), in order."""
        query = (
            sa.select(_CYCLES.c.record)
            .where(_CYCLES.c.start == start, _CYCLES.c.cycle >= first)
            .order_by(_CYCLES.c.cycle)
        )
        if last is not None:
            query = query.where(_CYCLES.c.cycle <= last)
        with self._engine.connect() as c:
            for blob in c.execute(query).scalars():
                record = decode(blob)
                if not isinstance(record, CycleRecord):
                    raise HistoryError(f"start {start} holds a row that is no cycle record")
                yield record

    def begun_at(self, start: int) -> int:
        """Cycle after which a start began: 0, or the last one of the memory that it resumed."""
        query = sa.select(sa.func.min(_STATES.c.cycle)).where(_STATES.c.start == start)
        with self._engine.connect() as c:
            cycle = c.execute(query).scalar()
        if cycle is None:
            raise HistoryError(f"no state of start {start} was kept")
        return int(cycle)

    def state_at(self, start: int, cycle: int) -> CycleState:
        """The newest state kept at or before the end of ``cycle``."""
        query = (
            sa.select(_STATES.c.state)
            .where(_STATES.c.start == start, _STATES.c.cycle <= cycle)
            .order_by(_STATES.c.cycle.desc())
            .limit(1)
        )
        with self._engine.connect() as c:
            blob = c.execute(query).scalar()
        if blob is None:
            raise HistoryError(f"no state of start {start} was kept at or before cycle {cycle}")
        return decode_state(blob)

    def events(self) -> list[Mapping[str, Any]]:
        """What people and supervision did, in order."""
        with self._engine.connect() as c:
            rows = c.execute(sa.select(_EVENTS).order_by(_EVENTS.c.number)).mappings()
            return [dict(row) for row in rows]

    def close(self) -> None:
        """Finish reading."""
        self._engine.dispose()
