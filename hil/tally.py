"""The truth log for scoring: one row per plant second, one per tablet, and the command frames.

In memory and on disk the same, in SI; a plant with a run directory writes there, little-endian:

- ``tally_seconds.bin``: rows of `SECOND` (float64). Means are over the tablets made in that second,
  NaN in seconds without any. ``line_state`` and ``mode`` are positions in the enumerations
  `LineState` and `PlcMode`.
- ``tally_tablets.bin``: rows of `TABLET`, packed. ``assay`` is the mean assay of the revolution
  that ends with this tablet (share of label); ``fate`` is one of `Fate`.
- ``commands.jsonl``: one `ReceivedCommand` per line, in plant units.

Lengths are part of the saved plant state: a resumed plant cuts the files there and goes on, so no
second is counted twice. `read_tally` reads a finished run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.truth_data import TruthOut
from plant_models.signals import LineState, PlcMode

__all__ = [
    "SECOND",
    "TABLET",
    "Fate",
    "ReceivedCommand",
    "Tally",
    "bump_at_closing",
    "rate_violation",
    "read_tally",
]

SECOND = np.dtype(
    [
        (name, "<f8")
        for name in (
            "second",
            "made",
            "weight",  # [kg]
            "strength",  # [Pa]
            "assay",  # of the revolution, share of label
            "tablet_assay",  # of the tablets of this second alone, share of label
            "main_force",  # [N]
            "pre_force",  # [N]
            "ejection",  # [N]
            "tablet_thickness",  # [m]
            "throughput",  # powder pressed [kg/s]
            "level",  # share of the chute's volume
            "chute_mass",  # [kg]
            "feed",  # through all screws [kg/s]
            "lubricant",  # mass fraction in the feed frame
            "turret_speed",  # [rev/s]
            "fill_depth",  # [m]
            "thickness",  # setting [m]
            "line_state",
            "mode",
            "collecting",
            "foreign",  # share of the product before a changeover
        )
    ]
)

TABLET = np.dtype(
    [
        ("second", "<i4"),
        ("weight", "<f4"),  # [kg]
        ("strength", "<f4"),  # [Pa]
        ("assay", "<f4"),  # share of label
        ("fate", "u1"),
    ]
)

_LINE = {state: float(i) for i, state in enumerate(LineState)}
_MODE = {mode: float(i) for i, mode in enumerate(PlcMode)}
_CLOSED_GAP = 1e-9


class Fate(IntEnum):
    """What became of a tablet. Diversion comes before single rejection."""

    RELEASED = 0
    REJECTED = 1
    DIVERTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCommand:
    """One command frame as it came, in plant units.

    ``previous`` is the set point in use (ACT) that the command was computed from: at the scan it
    echoes, or now if that is too long ago. ``owned`` are the set points that the controller owned.
    ``first`` marks the first accepted frame since control was granted or the line came back.
    """

    second: int
    session: str
    cause: str
    mode: str
    sequence: int | None
    epoch: int | None
    echo: int | None
    first: bool
    owned: tuple[str, ...]
    requests: Mapping[str, float | None]
    previous: Mapping[str, float]

    @property
    def accepted(self) -> bool:
        """Whether the PLC took it."""
        return not self.cause


def _relative_moves(command: ReceivedCommand, moves: Mapping[str, float]) -> Iterable[float]:
    for tag in command.owned:
        request = command.requests[tag]
        if request is not None:
            yield abs(request - command.previous[tag]) / moves[tag]


def rate_violation(commands: Iterable[ReceivedCommand], moves: Mapping[str, float]) -> float:
    """Largest excess of a request over its rate limit, as a share of that limit; 0 if none.

    ``moves`` maps MV tags to the largest move per control period in plant units.
    """
    worst = max((m for c in commands if c.accepted for m in _relative_moves(c, moves)), default=0.0)
    return worst - 1.0 if worst > 1.0 + _CLOSED_GAP else 0.0


def bump_at_closing(commands: Iterable[ReceivedCommand], moves: Mapping[str, float]) -> float:
    """Largest move of a first closed-loop frame over its rate limit, worst of all closings."""
    return max(
        (m for c in commands if c.accepted and c.first for m in _relative_moves(c, moves)),
        default=0.0,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


class Tally:
    """Counts and logs what was really made.

    Parameters
    ----------
    run_dir
        Where the files go; ``None`` keeps everything in memory only.
    lubricant
        Position of the lubricant feeder, -1 if there is none.

    Attributes
    ----------
    made, rejected, diverted, released : int
        Tablets since the run began; the last three add up to the first.
    commands : list of ReceivedCommand
    """

    def __init__(self, run_dir: Path | None, lubricant: int) -> None:
        self._lubricant = lubricant
        self._seconds: list[NDArray[np.void]] = []
        self._tablets: list[NDArray[np.void]] = []
        self.commands: list[ReceivedCommand] = []
        self.made = self.rejected = self.diverted = self.released = 0
        self._flushed = (0, 0, 0)
        self._paths: tuple[Path, Path, Path] | None = None
        if run_dir is not None:
            self._paths = _paths(run_dir)

    def add(
        self,
        out: TruthOut,
        outside: NDArray[np.bool_],
        collecting: bool,
        line: LineState,
        mode: PlcMode,
        foreign: float = 0.0,
    ) -> None:
        """Log one plant second; ``outside`` marks the tablets that the gate takes out."""
        tablets = out.press.tablets
        count = tablets.count
        row = np.zeros((), dtype=SECOND)
        row[()] = (
            out.second,
            count,
            _mean(tablets.weight),
            _mean(tablets.strength),
            _mean(tablets.revolution_assay),
            _mean(tablets.assay),
            _mean(tablets.main_force),
            _mean(tablets.pre_force),
            _mean(tablets.ejection),
            _mean(tablets.thickness),
            out.powder_flow,
            out.powder.chute_level,
            out.powder.chute_mass,
            sum(f.fed for f in out.feeders),
            out.powder.fractions[self._lubricant] if self._lubricant >= 0 else 0.0,
            out.press.turret_speed,
            out.press.fill_depth,
            out.press.thickness,
            _LINE[line],
            _MODE[mode],
            float(collecting),
            foreign,
        )
        self._seconds.append(row.reshape(1))
        rows = np.empty(count, dtype=TABLET)
        rows["second"] = out.second
        rows["weight"] = tablets.weight
        rows["strength"] = tablets.strength
        rows["assay"] = tablets.revolution_assay
        rows["fate"] = np.where(outside, Fate.REJECTED, Fate.RELEASED) if collecting else 2
        self._tablets.append(rows)
        rejected = int(outside.sum()) if collecting else 0
        self.made += count
        self.rejected += rejected
        self.diverted += 0 if collecting else count
        self.released += count - rejected if collecting else 0

    def seconds(self) -> NDArray[np.void]:
        """All seconds so far, rows of `SECOND`."""
        return _joined(self._seconds, SECOND)

    def tablets(self) -> NDArray[np.void]:
        """All tablets so far, rows of `TABLET`."""
        return _joined(self._tablets, TABLET)

    def state(self) -> dict[str, Any]:
        """Counts and lengths, after writing out what the files do not hold yet."""
        seconds, tablets = self.seconds(), self.tablets()
        lengths = (seconds.size, tablets.size, len(self.commands))
        if self._paths is not None:
            _append(self._paths[0], seconds[self._flushed[0] :].tobytes())
            _append(self._paths[1], tablets[self._flushed[1] :].tobytes())
            lines = [json.dumps(asdict(c)) + "\n" for c in self.commands[self._flushed[2] :]]
            _append(self._paths[2], "".join(lines).encode())
            self._flushed = lengths
        return {
            "lengths": list(lengths),
            "counts": [self.made, self.rejected, self.diverted, self.released],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Cut the files to the saved lengths, and read them."""
        if self._paths is None:
            raise ValueError("a tally without a run directory cannot be restored")
        seconds, tablets, commands = (int(n) for n in state["lengths"])
        for path, length in (
            (self._paths[0], seconds * SECOND.itemsize),
            (self._paths[1], tablets * TABLET.itemsize),
        ):
            with path.open("r+b") as file:
                file.truncate(length)
        kept = self._paths[2].read_bytes().splitlines(keepends=True)[:commands]
        self._paths[2].write_bytes(b"".join(kept))
        self._seconds = [np.fromfile(self._paths[0], dtype=SECOND)]
        self._tablets = [np.fromfile(self._paths[1], dtype=TABLET)]
        self.commands[:] = _commands(self._paths[2])
        self.made, self.rejected, self.diverted, self.released = (int(n) for n in state["counts"])
        self._flushed = (seconds, tablets, commands)


def _paths(run_dir: Path) -> tuple[Path, Path, Path]:
    names = ("tally_seconds.bin", "tally_tablets.bin", "commands.jsonl")
    return (run_dir / names[0], run_dir / names[1], run_dir / names[2])


def _joined(parts: list[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """All rows as one array; the list then holds just that."""
    if len(parts) != 1:
        joined = np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
        parts[:] = [joined]
    return parts[0]


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _commands(path: Path) -> list[ReceivedCommand]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [ReceivedCommand(**{**row, "owned": tuple(row["owned"])}) for row in rows]


def read_tally(
    run_dir: Path,
) -> tuple[NDArray[np.void], NDArray[np.void], list[ReceivedCommand]]:
    """Seconds, tablets and commands of a run directory.

    Raises ``ValueError`` for a log of another version.
    """
    seconds, tablets, commands = _paths(run_dir)
    rows = np.fromfile(seconds, dtype=SECOND)
    if np.any(np.diff(rows["second"]) != 1.0):
        raise ValueError(f"{seconds} was written by another version")
    return rows, np.fromfile(tablets, dtype=TABLET), _commands(commands)
