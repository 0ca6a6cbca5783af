"""Where a recorded press tells its gains: moves that nobody made because of the force.

A recording is closed-loop data: the press moves its fill depth to hold the force, so fill depth
follows every disturbance of the powder, and force against fill depth shows the loop, not the press.
Three kinds of moves are free of that; each compares means before and after (a row of `Steps`):

set by hand
    Setting up: fill depth and band are set between or within short runs whose fill depth does not
    answer the force. Both are causes, the force is their effect.
loop waits
    Running: a press stops correcting for some rows after its thickness was moved, and takes the
    force it then sees as its new aim. While it waits the fill depth stands, and the force shows
    what the thickness did; where it stands within the loop's dither is not counted as a move.
loop answers
    Running: band, speed or force level were moved. Those are causes, and the fill depth that the
    loop arrives at shows how much it took. Means over minutes leave the loop's own dither out.

What fill depth and force do over the same windows with nothing moved (`Quiet`) is the random walk
of the powder's bulk volume, per batch: the error of a loop's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording

__all__ = ["Kind", "Quiet", "Steps", "Track", "find_steps", "quiet_batches", "tracks"]


class Kind(IntEnum):
    """How a move came about."""

    HAND = 0
    WAITING = 1
    ANSWER = 2

    @property
    def text(self) -> str:
        """In words."""
        return ("set by hand", "loop waits", "loop answers")[self]


Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int_]

_SAME = 5e-6  # fill depths or bands closer than this are the same [m]
_SMALL = 50e-6  # the loop's moves from row to row are smaller, those by hand larger [m]
_SPEED = 0.05  # relative change of the tablet rate that counts as a move
_WINDOW_S, _LEAST_S, _GAP_S = 360.0, 90.0, 60.0  # means, at least, and what settles in between
_WARM_S = 120.0  # after a start, before a mean may begin
_TOGETHER_S = 120.0  # moves closer than this are one
_LEAST_WAIT = 4  # rows that a loop waits at least
_NEXT_HAND_S = 1800.0  # two settings by hand further apart are not compared
_FORCE_SD = 8.0  # a change of the force level, in standard deviations of a quiet one
_FEW_PAIRS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Means before and after n moves: (n, 2) arrays in SI; ``rows`` (n, 2) are behind the means.

    ``kind`` (n,) holds `Kind`, ``at`` (n,) is the first row after the move.
    """

    kind: IntArray
    at: IntArray
    batch: tuple[str, ...]
    fill: Array
    band: Array
    force: Array
    rate: Array
    rows: Array

    @property
    def size(self) -> int:
        """Number of moves."""
        return int(self.at.size)

    def only(self, keep: BoolArray) -> Steps:
        """The moves that are kept."""
        return Steps(
            kind=self.kind[keep],
            at=self.at[keep],
            batch=tuple(b for b, k in zip(self.batch, keep, strict=True) if k),
            fill=self.fill[keep],
            band=self.band[keep],
            force=self.force[keep],
            rate=self.rate[keep],
            rows=self.rows[keep],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """What the means of two full windows differ by when nobody moved anything.

    ``walk`` is the standard deviation of ln fill depth [-] by batch, ``force`` that of the force
    [N], ``pairs`` how many pairs of windows tell it; ``span`` [s] is between the windows' middles;
    ``row_force`` is the standard deviation of the force [N] from row to row.
    """

    walk: Mapping[str, float]
    force: float
    row_force: float
    pairs: int
    span: float

    def walk_of(self, batch: str) -> float:
        """Standard deviation of ln fill depth [-] in ``batch``."""
        return self.walk.get(batch, self.walk[""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Rows of one uninterrupted run of a batch: evenly spaced, press running, nothing missing."""

    batch: str
    rows: IntArray
    fill: Array
    band: Array
    force: Array
    rate: Array

    @property
    def by_hand(self) -> bool:
        """Whether the fill depth never answers the force: constant, or moved in big steps."""
        moves = np.abs(np.diff(self.fill))
        return bool(np.all((moves < _SAME) | (moves > _SMALL)))

    def moved(self) -> BoolArray:
        """Rows at which the band or the speed changed."""
        first = np.zeros(1, dtype=bool)
        band = np.abs(np.diff(self.band)) > _SAME
        rate = np.abs(np.diff(self.rate)) > _SPEED * self.rate[:-1]
        return np.concatenate([first, band | rate])


def tracks(recording: Recording, batches: Sequence[str]) -> Iterator[Track]:
    """Uninterrupted runs of the ``batches``, in order."""
    c = recording.channels
    signals = np.array([c[n] for n in ("fill_depth", "thickness", "main_force", "tablet_rate")])
    good = np.all(np.isfinite(signals), axis=0) & recording.running() & (signals[2] > 0.0)
    names = np.asarray(recording.batch)
    even = np.abs(np.diff(recording.time) - recording.period_s) < 0.05 * recording.period_s
    joined = even & good[1:] & good[:-1] & (names[1:] == names[:-1])
    runs = np.split(np.arange(recording.size), np.flatnonzero(~joined) + 1)
    for rows in runs:
        if good[rows[0]] and names[rows[0]] in batches:
            fill, band, force, rate = signals[:, rows]
            yield Track(
                batch=str(names[rows[0]]), rows=rows, fill=fill, band=band, force=force, rate=rate
            )


def quiet_batches(runs: Sequence[Track], period: float) -> Quiet:
    """Differences between neighbouring windows of the loop's runs with nothing moved."""
    window, gap, warm = (round(s / period) for s in (_WINDOW_S, _GAP_S, _WARM_S))
    found: dict[str, list[float]] = {}
    forces: list[float] = []
    noise: list[Array] = []
    for run in runs:
        if run.by_hand:
            continue
        still = ~run.moved()
        noise.append(np.diff(run.force[warm:]) / np.sqrt(2.0))
        at = warm + window
        while at + gap + window <= run.rows.size:
            before, after = slice(at - window, at), slice(at + gap, at + gap + window)
            if not np.all(still[at - window + 1 : at + gap + window]):
                at += max(window // 12, 1)
                continue
            logs = np.log(np.mean(run.fill[after]) / np.mean(run.fill[before]))
            found.setdefault(run.batch, []).append(float(logs))
            forces.append(float(np.mean(run.force[after]) - np.mean(run.force[before])))
            at += window
    every = [value for values in found.values() for value in values]
    walk = {batch: _spread(v) for batch, v in found.items() if len(v) >= _FEW_PAIRS}
    return Quiet(
        walk={**walk, "": _spread(every)},
        force=_spread(forces),
        row_force=float(np.std(np.concatenate([*noise, np.zeros(1)]))),
        pairs=len(every),
        span=(window + gap) * period,
    )


def _spread(values: Sequence[float]) -> float:
    """Standard deviation about 0, from the median of the sizes; 0 of none."""
    return float(1.4826 * np.median(np.abs(values))) if len(values) else 0.0


def find_steps(recording: Recording, batches: Sequence[str]) -> tuple[Steps, Quiet]:
    """Moves of the ``batches`` that tell the press's gains, and what happens without any."""
    runs = list(tracks(recording, batches))
    quiet = quiet_batches(runs, recording.period_s)
    found = list(_hand_steps([r for r in runs if r.by_hand], recording))
    for run in runs:
        if not run.by_hand:
            found += _answers(run, recording.period_s, quiet)
            found += _waits(run, recording.period_s)
    found.sort(key=lambda step: step.at)
    table = np.array([step.values for step in found]).reshape(len(found), 5, 2)
    steps = Steps(
        kind=np.array([step.kind for step in found], dtype=int),
        at=np.array([step.at for step in found], dtype=int),
        batch=tuple(step.batch for step in found),
        fill=table[:, 0],
        band=table[:, 1],
        force=table[:, 2],
        rate=table[:, 3],
        rows=table[:, 4],
    )
    return steps, quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    kind: Kind
    at: int
    batch: str
    values: tuple[tuple[float, float], ...]  # fill, band, force, rate, rows: before, after


def _means(run: Track, rows: slice) -> tuple[float, ...]:
    signals = (run.fill, run.band, run.force, run.rate)
    return (*(float(np.mean(s[rows])) for s in signals), float(run.fill[rows].size))


def _step(
    kind: Kind, at: int, batch: str, before: tuple[float, ...], after: tuple[float, ...]
) -> _Step:
    return _Step(kind=kind, at=at, batch=batch, values=tuple(zip(before, after, strict=True)))


def _hand_steps(runs: Sequence[Track], recording: Recording) -> Iterator[_Step]:
    """From one setting by hand to the next; the first row after a start or a move is left out."""
    last: tuple[str, int, tuple[float, ...]] | None = None
    for run in runs:
        held = (np.abs(np.diff(run.fill)) < _SAME) & ~run.moved()[1:]
        for part in np.split(np.arange(run.rows.size), np.flatnonzero(~held) + 1):
            if part.size < 2:
                continue
            first = int(run.rows[part[0]])
            means = _means(run, slice(part[1], part[-1] + 1))
            if last is not None and last[0] == run.batch:
                soon = recording.time[first] - recording.time[last[1]] < _NEXT_HAND_S
                far = [abs(a - b) for a, b in zip(means, last[2], strict=True)]
                if soon and (far[0] > _SMALL or far[1] > _SMALL / 2.0):
                    yield _step(Kind.HAND, first, run.batch, last[2], means)
            last = run.batch, int(run.rows[part[-1]]), means


def _answers(run: Track, period: float, quiet: Quiet) -> Iterator[_Step]:
    """Moves of the band, the speed or the force level while the loop is on."""
    window, least, gap, warm, together = (
        round(s / period) for s in (_WINDOW_S, _LEAST_S, _GAP_S, _WARM_S, _TOGETHER_S)
    )
    moves = _grouped(np.flatnonzero(run.moved()), together)
    ends = [warm, *(last + gap for _, last in moves)]
    begins = [*(first for first, _ in moves), run.rows.size]
    for begin, end in zip(ends, begins, strict=True):
        moves += _level_moves(run.force[begin:end], begin, window, gap, quiet.force)
    moves.sort()
    for i, (first, last) in enumerate(moves):
        from_ = max(first - window, moves[i - 1][1] + gap if i else warm)
        to = min(last + gap + window, moves[i + 1][0] if i + 1 < len(moves) else run.rows.size)
        if first - from_ >= least and to - last - gap >= least:
            before = _means(run, slice(from_, first))
            after = _means(run, slice(last + gap, to))
            yield _step(Kind.ANSWER, int(run.rows[first]), run.batch, before, after)


def _waits(run: Track, period: float) -> Iterator[_Step]:
    """Rows after a move of the band at which the loop does not correct yet."""
    most, warm = (round(s / period) for s in (_TOGETHER_S, _WARM_S))
    moved = run.moved()
    for row in np.flatnonzero(moved).tolist():
        from_, to = max(warm, row - most), min(row + most, run.rows.size)
        still = (np.abs(run.fill[row:to] - run.fill[row]) < _SAME) & ~np.r_[
            False, moved[row + 1 : to]
        ]
        count = int(np.argmin(still)) if not still.all() else still.size
        if count < _LEAST_WAIT or row - from_ < _LEAST_WAIT or moved[from_ + 1 : row].any():
            continue
        if abs(run.band[row] - run.band[row - 1]) > _SAME:
            before, after = (
                _means(run, slice(from_, row)),
                _means(run, slice(row + 1, row + count)),
            )
            yield _step(
                Kind.WAITING, int(run.rows[row]), run.batch, before, (before[0], *after[1:])
            )


def _grouped(rows: IntArray, together: int) -> list[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    for row in rows.tolist():
        if groups and row - groups[-1][1] <= together:
            groups[-1] = groups[-1][0], row
        else:
            groups.append((row, row))
    return groups


def _level_moves(
    force: Array, offset: int, window: int, gap: int, spread: float
) -> list[tuple[int, int]]:
    """Where the mean force changed for good without any move of band or speed, largest first."""
    found: list[tuple[int, int]] = []
    if force.size < 2 * window + gap or spread <= 0.0:
        return found
    sums = np.concatenate([[0.0], np.cumsum(force)])
    at = np.arange(window, force.size - window - gap + 1)
    change = (sums[at + gap + window] - sums[at + gap] - sums[at] + sums[at - window]) / window
    size = np.abs(change)
    while size.max(initial=0.0) > _FORCE_SD * spread:
        best = int(size.argmax())
        first = int(at[best]) + gap // 2
        found.append((offset + first, offset + first))
        size[max(0, best - window) : best + window] = 0.0
    return found
