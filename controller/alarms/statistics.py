"""How good an alarm system is: rates, floods, nuisance alarms, against the known figures.

Figures: ANSI/ISA-18.2 and IEC 62682 as quoted in secondary texts, per operator position, assessed
over 30 days or more; EEMUA 191 for the first ten minutes of an upset. Only annunciated events
count. Everything is computed from the journal; times are plant time [s, UTC].
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import AlarmEvent, EventKind
from controller.alarms.upsets import MOST_ALARMS, Upset, UpsetCount, counted

__all__ = [
    "FLOOD_END",
    "FLOOD_START",
    "WINDOW_S",
    "AlarmStatistics",
    "Figure",
    "compare",
    "flood_periods",
    "priority_shares",
    "statistics",
]

WINDOW_S = 600.0
FLOOD_START = 10  # more than this in a window
FLOOD_END = 5  # fewer than this in a window

_HOUR, _DAY = 3600.0, 86_400.0
_RATE_H, _MOST_H = 6.0, 12.0
_RATE_WINDOW, _MOST_WINDOW = 1.0, 2.0
_FLOOD_SHARE, _TOP_SHARE = 0.01, 0.05
_STALE = 5
_CHATTER_COUNT, _CHATTER_S = 3, 60.0
_FLEETING_S = 15.0
_TOP = 10
_SHARES = {Priority.LOW: 0.80, Priority.MEDIUM: 0.15, Priority.HIGH: 0.05}
_SHARE_BAND = 0.05

Period = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmStatistics:
    """Figures of one period.

    Attributes
    ----------
    begin, end, annunciated, per_hour, per_window
        Period, alarms in it, and their mean rates (a window is 10 min).
    most_in_window
        Largest number in any 10 min.
    windows_over
        Share of 10 min periods with more alarms than start a flood.
    floods, flood_share
        Floods, and the share of time in them.
    upsets
        Major upsets with the alarms of their first ten minutes.
    chattering
        Alarms that came three times within a minute, and how often they came in all.
    fleeting
        Alarms that went away by themselves within 15 s, and how often.
    stale
        Alarms that stood for more than 24 h at some time.
    top
        The most frequent ones with their counts.
    top_share
        Share of all alarms that is theirs.
    priorities
        Share of each priority in the alarms.
    unauthorised
        Suppressions by people without a name or a reason.
    """

    begin: float
    end: float
    annunciated: int
    per_hour: float
    per_window: float
    most_in_window: int
    windows_over: float
    floods: tuple[Period, ...]
    flood_share: float
    upsets: tuple[Upset, ...]
    chattering: Mapping[str, int]
    fleeting: Mapping[str, int]
    stale: tuple[str, ...]
    top: tuple[tuple[str, int], ...]
    top_share: float
    priorities: Mapping[Priority, float]
    unauthorised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure beside what is known to be good; ``good`` is None where it says nothing."""

    name: str
    value: float
    goal: str
    good: bool | None


def flood_periods(times: Sequence[float], end: float) -> tuple[Period, ...]:
    """Floods among sorted annunciation times: begin at the 11th in 10 min, end below 5 in 10 min.

    A flood that is not over by ``end`` ends there.
    """
    floods: list[Period] = []
    recent: deque[float] = deque()
    begin: float | None = None
    for t in times:
        while recent and t - recent[0] >= WINDOW_S:
            left = recent.popleft() + WINDOW_S
            if begin is not None and len(recent) < FLOOD_END:
                floods.append((begin, left))
                begin = None
        recent.append(t)
        if begin is None and len(recent) > FLOOD_START:
            begin = t
    while begin is not None:
        left = recent.popleft() + WINDOW_S
        if len(recent) < FLOOD_END or left >= end:
            floods.append((begin, min(left, end)))
            begin = None
    return tuple(floods)


def priority_shares(priorities: Iterable[Priority]) -> dict[Priority, float]:
    """Share of each priority; all zero if there are none."""
    counts = Counter(priorities)
    total = max(1, counts.total())
    return {p: counts[p] / total for p in Priority}


def statistics(events: Iterable[AlarmEvent], begin: float, end: float) -> AlarmStatistics:
    """Figures of the journal ``events`` (in order) between ``begin`` and ``end``."""
    if not end > begin:
        raise ValueError(f"a period must end after it begins, not {begin:g} to {end:g}")
    journal = [e for e in events if e.time < end and not e.alert]
    calls = [e for e in journal if e.annunciated and e.time >= begin]
    times = [e.time for e in calls]
    length = end - begin
    floods = flood_periods(times, end)
    counts = Counter(e.alarm for e in calls)
    top = tuple(counts.most_common(_TOP))
    return AlarmStatistics(
        begin=begin,
        end=end,
        annunciated=len(calls),
        per_hour=len(calls) * _HOUR / length,
        per_window=len(calls) * WINDOW_S / length,
        most_in_window=_most(times),
        windows_over=_windows_over(times, begin, end),
        floods=floods,
        flood_share=sum(b - a for a, b in floods) / length,
        upsets=_upsets(calls),
        chattering=_chattering(calls),
        fleeting=_fleeting(journal, begin),
        stale=_stale(journal, end),
        top=top,
        top_share=sum(n for _, n in top) / max(1, len(calls)),
        priorities=priority_shares(e.priority for e in calls),
        unauthorised=sum(
            e.kind in (EventKind.SHELVED, EventKind.OUT_OF_SERVICE) and not (e.user and e.reason)
            for e in journal
            if e.time >= begin
        ),
    )


def _most(times: Sequence[float]) -> int:
    recent: deque[float] = deque()
    most = 0
    for t in times:
        while recent and t - recent[0] >= WINDOW_S:
            recent.popleft()
        recent.append(t)
        most = max(most, len(recent))
    return most


def _windows_over(times: Sequence[float], begin: float, end: float) -> float:
    counts = Counter(int((t - begin) // WINDOW_S) for t in times)
    windows = max(1, -int(-(end - begin) // WINDOW_S))
    return sum(n > FLOOD_START for n in counts.values()) / windows


def _upsets(calls: Iterable[AlarmEvent]) -> tuple[Upset, ...]:
    count, found = UpsetCount(), dict[int, Upset]()
    for e in calls:
        count = counted(count, (e,))
        if count.last is not None:
            found[count.upsets] = count.last
    return tuple(found.values())


def _chattering(calls: Iterable[AlarmEvent]) -> dict[str, int]:
    last: dict[str, deque[float]] = {}
    total: Counter[str] = Counter()
    found: set[str] = set()
    for e in calls:
        seen = last.setdefault(e.alarm, deque(maxlen=_CHATTER_COUNT))
        seen.append(e.time)
        total[e.alarm] += 1
        if len(seen) == _CHATTER_COUNT and e.time - seen[0] <= _CHATTER_S:
            found.add(e.alarm)
    return {name: total[name] for name in sorted(found)}


def _fleeting(journal: Iterable[AlarmEvent], begin: float) -> dict[str, int]:
    came: dict[str, float] = {}
    found: Counter[str] = Counter()
    for e in journal:
        if e.annunciated:
            came[e.alarm] = e.time
        elif e.kind is EventKind.ACKNOWLEDGED:
            came.pop(e.alarm, None)
        elif e.kind is EventKind.CLEARED and e.alarm in came:
            found[e.alarm] += begin <= e.time <= came.pop(e.alarm) + _FLEETING_S
    return {name: n for name, n in sorted(found.items()) if n}


def _stale(journal: Iterable[AlarmEvent], end: float) -> tuple[str, ...]:
    active: dict[str, float] = {}
    found: set[str] = set()
    for e in journal:
        if e.annunciated:
            active.setdefault(e.alarm, e.time)
        elif e.kind is EventKind.CLEARED and e.time - active.pop(e.alarm, e.time) > _DAY:
            found.add(e.alarm)
    found |= {name for name, since in active.items() if end - since > _DAY}
    return tuple(sorted(found))


def compare(s: AlarmStatistics, definitions: Mapping[str, Definition]) -> tuple[Figure, ...]:
    """Every figure beside its goal.

    The share of the ten most frequent says nothing while there are few alarms to share among: it is
    judged from 200 alarms of a list on. Nor do alarms of a major upset while there was none.
    """
    shares = priority_shares(d.priority for d in definitions.values() if not d.alert)
    rows = [
        Figure(
            name="alarms per hour",
            value=s.per_hour,
            goal=f"about {_RATE_H:g}, at most {_MOST_H:g}",
            good=s.per_hour <= _MOST_H,
        ),
        Figure(
            name="alarms per 10 min",
            value=s.per_window,
            goal=f"about {_RATE_WINDOW:g}, at most {_MOST_WINDOW:g}",
            good=s.per_window <= _MOST_WINDOW,
        ),
        _at_most("most alarms in any 10 min", s.most_in_window, FLOOD_START),
        _of_upsets(s.upsets),
        _below("share of 10 min periods with more than 10", s.windows_over, _FLOOD_SHARE),
        _below("share of time in flood", s.flood_share, _FLOOD_SHARE),
        _at_most("chattering alarms", len(s.chattering), 0),
        _at_most("fleeting alarms", len(s.fleeting), 0),
        _below("stale alarms", len(s.stale), _STALE),
        Figure(
            name="share of the ten most frequent",
            value=s.top_share,
            goal=f"at most {_TOP_SHARE:g}",
            good=s.top_share <= _TOP_SHARE if len(definitions) >= 20 * _TOP else None,
        ),
        _at_most("unauthorised suppressions", s.unauthorised, 0),
    ]
    for priority, wanted in _SHARES.items():
        rows.append(
            Figure(
                name=f"share of {priority} priority in the list",
                value=shares[priority],
                goal=f"about {wanted:g}",
                good=abs(shares[priority] - wanted) <= _SHARE_BAND,
            )
        )
    return tuple(rows)


def _of_upsets(upsets: Sequence[Upset]) -> Figure:
    worst = max((u.alarms for u in upsets), default=0)
    return Figure(
        name="most alarms in the first 10 min of a major upset",
        value=worst,
        goal=f"at most {MOST_ALARMS}",
        good=worst <= MOST_ALARMS if upsets else None,
    )


def _at_most(name: str, value: float, most: float) -> Figure:
    return Figure(name=name, value=value, goal=f"at most {most:g}", good=value <= most)


def _below(name: str, value: float, bound: float) -> Figure:
    return Figure(name=name, value=value, goal=f"below {bound:g}", good=value < bound)
