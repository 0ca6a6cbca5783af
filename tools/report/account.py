"""What happened in a shift: modes in order, bumps at every transfer, alarms; rows and a table.

A transfer is when a set point becomes the controller's: the loop is closed, the line came back, an
MV was given back. Its bump is the largest move of that set point in the minute that follows, over
the move that its rate allows in one cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from controller.alarms.definitions import Definition
from controller.alarms.engine import AlarmEvent, State
from controller.alarms.export import figure_rows
from controller.alarms.statistics import Figure, compare, statistics
from controller.data import CycleRecord, Mode
from controller.records.historian import History, sqlite_url
from hil.tally import ReceivedCommand
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.alarm_journal import read_journal
from tools.report.data import RunData
from tools.rundir import RunDir
from tools.shown_time import clock

__all__ = [
    "Account",
    "Span",
    "Transfer",
    "account_of",
    "account_tables",
    "read_account",
    "spans",
    "transfers",
]

_AFTER_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time [plant s] in one mode; ``state`` adds that control is suspended."""

    begin: float
    end: float
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Set points that became the controller's at ``second``, with first and largest move."""

    second: int
    tags: tuple[str, ...]
    first: float
    bump: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account of one run; alarms are all events of the journal, times in plant seconds.

    ``definitions`` is the alarm list.
    """

    spans: tuple[Span, ...]
    transfers: tuple[Transfer, ...]
    alarms: tuple[AlarmEvent, ...]
    definitions: Mapping[str, Definition]

    @property
    def largest_bump(self) -> float:
        """Of all transfers; 0 if there were none."""
        return max((t.bump for t in self.transfers), default=0.0)

    @property
    def shown(self) -> tuple[AlarmEvent, ...]:
        """Alarms and alerts without what was hidden all the time."""
        told: set[str] = set()
        found = []
        for e in self.alarms:
            if e.annunciated or (e.alert and e.state is not State.SUPPRESSED):
                told.add(e.alarm)
            if e.alarm in told:
                found.append(e)
        return tuple(found)

    @property
    def sheds(self) -> int:
        """How often control was shed."""
        return sum(s.state == Mode.SHED for s in self.spans)

    def figures(self) -> tuple[Figure, ...]:
        """The alarms of the run beside what is known to be good."""
        begin, end = self.spans[0].begin, self.spans[-1].end
        return compare(statistics(self.alarms, begin, end + 1.0), self.definitions)

    def document(self) -> dict[str, Any]:
        """For machines: stable keys, seconds, bumps over one rate step."""
        return {
            "timeline": [asdict(s) for s in self.spans],
            "transfers": [asdict(t) for t in self.transfers],
            "largest_bump": self.largest_bump,
            "sheds": self.sheds,
            "alarm_figures": figure_rows(self.figures()),
            "alarms": [
                {
                    "second": e.time,
                    "alarm": e.alarm,
                    "kind": str(e.kind),
                    "priority": str(e.priority),
                    "text": e.text,
                    "annunciated": e.annunciated,
                    "first_out": e.first_out,
                    "alert": e.alert,
                }
                for e in self.alarms
            ],
        }


def spans(records: Iterable[CycleRecord], start: float) -> tuple[Span, ...]:
    """Modes in order; ``start`` is plant second 0 [s, UTC]."""
    found: list[Span] = []
    for r in records:
        state = str(r.mode)
        if r.extra.get("suspended_since") is not None:
            state += ", suspended"
        second = r.time - start
        if found:
            last = found[-1]
            if last.state == state:
                found[-1] = Span(begin=last.begin, end=second, state=state)
                continue
            found[-1] = Span(begin=last.begin, end=second, state=last.state)
        found.append(Span(begin=second, end=second, state=state))
    return tuple(found)


def transfers(
    commands: Sequence[ReceivedCommand], moves: Mapping[str, float]
) -> tuple[Transfer, ...]:
    """Every transfer; ``moves`` maps MVs to their rate step in plant units."""
    taken = [c for c in commands if c.accepted]
    found: list[Transfer] = []
    owned: frozenset[str] = frozenset()
    for i, c in enumerate(taken):
        mine = frozenset(c.owned)
        new = mine if c.first else mine - owned
        owned = mine
        if not new:
            continue
        largest = 0.0
        for later in taken[i:]:
            if later.second - c.second > _AFTER_S or not new <= frozenset(later.owned):
                break
            largest = max(largest, _bump(later, new, moves))
        found.append(
            Transfer(
                second=c.second,
                tags=tuple(sorted(new)),
                first=_bump(c, new, moves),
                bump=largest,
            )
        )
    return tuple(found)


def _bump(command: ReceivedCommand, tags: Iterable[str], moves: Mapping[str, float]) -> float:
    requests = ((t, command.requests.get(t)) for t in tags)
    return max(
        (abs(r - command.previous[t]) / moves[t] for t, r in requests if r is not None),
        default=0.0,
    )


def account_of(
    records: Iterable[CycleRecord],
    events: Iterable[AlarmEvent],
    commands: Sequence[ReceivedCommand],
    moves: Mapping[str, float],
    definitions: Mapping[str, Definition],
    start: float,
) -> Account:
    """The account of a run.

    Parameters
    ----------
    records, events
        Cycles in order, and the alarm journal.
    commands
        Frames as the plant received them.
    moves
        Rate step per control cycle of each MV, in plant units.
    definitions
        The alarm list.
    start
        Plant second 0 [s, UTC].
    """
    return Account(
        spans=spans(records, start),
        transfers=transfers(commands, moves),
        alarms=tuple(replace(e, time=e.time - start) for e in events),
        definitions=definitions,
    )


def read_account(data: RunData, line: ResolvedLine, period: float) -> Account:
    """The account of a run that has been read; ``period`` is the control period [s]."""
    file = RunDir(data.path).historian
    last = data.start_time + float(data.time[-1])
    history = History(sqlite_url(file))
    try:
        records = [r for s in history.starts() for r in history.records(s) if r.time <= last]
    finally:
        history.close()
    journal = read_journal(file, last)
    moves = {m.tag: m.rate * period for m in signal_table(line.line).manipulated}
    return account_of(
        records, journal.events, data.commands, moves, journal.definitions, data.start_time
    )


def account_tables(account: Account, tablets: Mapping[str, Any]) -> list[Table]:
    """The account for a terminal; ``tablets`` are the counts of the run's score."""
    modes = _table("What happened", "from", "to", "mode")
    for s in account.spans:
        modes.add_row(clock(s.begin), clock(s.end), s.state)
    bumps = _table("Transfers", "at", "set points", "first move", "largest within a minute")
    for t in account.transfers:
        names = ", ".join(tag.rpartition("/")[2] for tag in t.tags)
        bumps.add_row(clock(t.second), names, f"{t.first:.2f}", f"{t.bump:.2f} of a rate step")
    load = _table("Alarm load", "figure", "reached", "known to be good", "")
    for f in account.figures():
        if "priority" not in f.name:
            word = {True: "met", False: "missed", None: ""}[f.good]
            load.add_row(f.name, f"{f.value:.3g}", f.goal, word)
    alarms = _table("Alarms", "at", "priority", "what", "")
    for e in account.shown:
        kind = "alert" if e.alert else str(e.priority)
        text = f"{e.text} (first)" if e.first_out else e.text
        alarms.add_row(clock(e.time), kind, escape(text), str(e.kind))
    end = _table("Tablets", "released", "out of specification", "floor")
    end.add_row(*(f"{tablets[k]}" for k in ("released", "released_out_of_spec", "floor")))
    return [modes, bumps, alarms, load, end]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table
