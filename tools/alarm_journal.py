"""The alarm journal of a run, read back from its records."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

from controller.alarms.definitions import Definition
from controller.alarms.engine import AlarmEvent
from controller.alarms.export import event_of
from controller.alarms.statistics import AlarmStatistics, Figure, compare, statistics
from controller.alarms.watch import alarm_setup
from controller.alarms.wiring import watched_of
from controller.records.historian import History, HistoryError, sqlite_url
from controller.records.replay import recorded_config, recorded_line

__all__ = ["Journal", "read_journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Events in order, the list they belong to, first and last plant time on record [s, UTC]."""

    events: tuple[AlarmEvent, ...]
    definitions: dict[str, Definition]
    begin: float
    end: float

    def statistics(self) -> AlarmStatistics:
        """Figures of the whole run."""
        return statistics(self.events, self.begin, max(self.end, self.begin + 1.0) + 1e-3)

    def figures(self) -> tuple[Figure, ...]:
        """The same beside what is known to be good."""
        return compare(self.statistics(), self.definitions)


def read_journal(historian: Path, until: float = inf) -> Journal:
    """The journal in a database, up to plant time ``until`` [s, UTC].

    Raises ``FileNotFoundError`` if there is no database, ``HistoryError`` if nothing is in it.
    """
    if not historian.is_file():
        raise FileNotFoundError(f"{historian} does not exist; a run has a historian.sqlite")
    events: list[AlarmEvent] = []
    times: list[float] = []
    history = History(sqlite_url(historian))
    try:
        starts = history.starts()
        if not starts:
            raise HistoryError(f"{historian} holds no start of a controller")
        facts = history.facts(starts[-1])
        for start in starts:
            for record in history.records(start):
                if record.time <= until:
                    times.append(record.time)
                    seen = record.extra.get("oversight", {})
                    events += [event_of(row) for row in seen.get("alarms", ())]
    finally:
        history.close()
    line = recorded_line(facts)
    owned = tuple(m.tag for m in line.line.manipulated)
    listed = alarm_setup(watched_of(recorded_config(facts), line, owned)).definitions
    return Journal(
        events=tuple(events),
        definitions=dict(listed),
        begin=min(times, default=0.0),
        end=max(times, default=0.0),
    )
