"""How much the stand-in looks like a real press.

Steady running under the PLC's own loops, measured as the press computers of 1,005 recorded
production batches did (Zagar & Mihelic 2022, Sci Data 9:99, read; ranges: 5 % to 95 % of batches,
quartiles for the ratio, +-30 % of the median for the changes of fill). The truth's scatter and
noise are tuned to these ranges, never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from hil.config import ScenarioConfig
from hil.plant import Plant
from plant_models.line import ResolvedLine
from plant_models.signals import MV
from tools.configuration import load_line, load_scenario

__all__ = ["RANGES", "Recording", "figures", "record", "run_realism"]

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_SAMPLE_S = 10
_SETTLING_S = 300  # after the start-up sequence, before counting begins
_START = 1.7e9  # any UTC; nothing here depends on it

# Key -> what it is, lowest and highest value that recorded batches show.
RANGES: dict[str, tuple[str, float, float]] = {
    "srel_pct": ("single-tablet main force, RSD in 10 s [%]", 2.8, 6.1),
    "weight_rsd_pct": ("tablet weight RSD [%]", 0.9, 1.1),
    "ratio": ("force RSD over weight RSD [-]", 3.7, 4.7),
    "force_sd_10s_pct": ("revolution mean force, SD at 10 s [%]", 1.0, 2.3),
    "fill_sd_pct.10s": ("change of fill in 10 s, SD [%]", 0.7 * 0.48, 1.3 * 0.48),
    "fill_sd_pct.60s": ("change of fill in 60 s, SD [%]", 0.7 * 0.60, 1.3 * 0.60),
    "fill_sd_pct.600s": ("change of fill in 600 s, SD [%]", 0.7 * 0.78, 1.3 * 0.78),
    "fill_moved_pct": ("10 s samples with another fill [%]", 33.0, 69.0),
    "fill_move_mm": ("median of these moves [mm]", 0.01, 0.03),
    "rejected_pct": ("tablets rejected one by one [%]", 0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One steady run: single tablets, and one sample every 10 s.

    ``weight`` [kg] of all tablets; ``srel`` [-] per sample; ``force`` [N] of the last revolution
    and ``fill`` [m] at each sample; ``rejected`` share of the tablets [-].
    """

    weight: NDArray[np.float64]
    srel: NDArray[np.float64]
    force: NDArray[np.float64]
    fill: NDArray[np.float64]
    rejected: float


def record(line: ResolvedLine, scenario: ScenarioConfig, seed: int, seconds: int) -> Recording:
    """Run the plant for ``seconds`` after start-up and settling, in LOCAL."""
    plant = Plant(line, scenario, seed=seed, start_time=_START)
    plant.advance(scenario.total_seconds(0.0) + _SETTLING_S)
    made, rejected = plant.tally.made, plant.tally.rejected
    first = plant.second
    srel, force, fill = [], [], []
    for _ in range(seconds // _SAMPLE_S):
        tablets = []
        for _ in range(_SAMPLE_S):
            plant.advance(1)
            tablets.append(plant.readings.tablet_force)
        forces = np.concatenate(tablets)
        srel.append(float(forces.std() / forces.mean()))
        force.append(plant.readings.main_force.value)
        fill.append(plant.state.mvs[MV.FILL_DEPTH].act)
    log = plant.tally.tablets()
    return Recording(
        weight=log["weight"][log["second"] >= first].astype(np.float64),
        srel=np.array(srel),
        force=np.array(force),
        fill=np.array(fill),
        rejected=(plant.tally.rejected - rejected) / max(1, plant.tally.made - made),
    )


def figures(r: Recording) -> dict[str, float]:
    """The figures of one run, by the keys of `RANGES`.

    A change over a time that the recording does not hold at least five times is left out.
    """
    srel = 100.0 * float(np.median(r.srel))
    weight = 100.0 * float(r.weight.std() / r.weight.mean())
    moves = np.abs(np.diff(r.fill))
    moved = moves > 1e-9
    result = {
        "srel_pct": srel,
        "weight_rsd_pct": weight,
        "ratio": srel / weight,
        "force_sd_10s_pct": 100.0 * float(r.force.std() / r.force.mean()),
        "fill_moved_pct": 100.0 * float(moved.mean()),
        "fill_move_mm": round(1e3 * float(np.median(moves[moved])), 6) if moved.any() else 0.0,
        "rejected_pct": 100.0 * r.rejected,
    }
    for seconds in (10, 60, 600):
        lag = seconds // _SAMPLE_S
        if r.fill.size >= 5 * lag:
            change = r.fill[lag:] - r.fill[:-lag]
            result[f"fill_sd_pct.{seconds}s"] = 100.0 * float(change.std() / r.fill.mean())
    return result


def run_realism(
    hours: float = 4.0,
    seeds: int = 5,
    *,
    console: Console | None = None,
    line: ResolvedLine | None = None,
    scenario: ScenarioConfig | None = None,
) -> dict[str, Any]:
    """Median over ``seeds`` of each figure, over ``hours`` of steady running each.

    Returns
    -------
    ``{"realism": {...}}`` with the keys of `RANGES`, dots as nesting; ``realism.range.<key>`` is
    ``[min, max]`` over the seeds.
    """
    if hours <= 0.0 or seeds < 1:
        raise ValueError(f"nothing to measure in {hours:g} h and {seeds} seeds")
    used_line = load_line(_CONFIGS / "lines" / "reference.yaml") if line is None else line
    used = load_scenario(_CONFIGS / "scenarios" / "steady.yaml") if scenario is None else scenario
    numbers: Sequence[int] = range(1, seeds + 1)
    shown = numbers if console is None else track(numbers, "realism", console=console)
    runs = [figures(record(used_line, used, seed, round(3600 * hours))) for seed in shown]
    middle = {key: median(run[key] for run in runs) for key in runs[0]}
    spread = {key: [min(run[key] for run in runs), max(run[key] for run in runs)] for key in middle}
    if console is not None:
        console.print(_table(middle, spread, hours, seeds))
    return {"realism": {**_nested(middle), "range": _nested(spread)}}


def _table(
    middle: Mapping[str, float], spread: Mapping[str, list[float]], hours: float, seeds: int
) -> Table:
    table = Table(title=f"Simulated press, {hours:g} h x {seeds} seeds, against 1,005 batches")
    table.add_column("figure")
    for name in ("median", "seeds", "recorded"):
        table.add_column(name, justify="right")
    table.add_column("")
    for key, (text, low, high) in RANGES.items():
        if key in middle:
            inside = low <= middle[key] <= high
            table.add_row(
                escape(text),
                f"{middle[key]:.2f}",
                f"{spread[key][0]:.2f} - {spread[key][1]:.2f}",
                f"{low:.2f} - {high:.2f}",
                "[green]inside[/]" if inside else "[red]outside[/]",
            )
    return table


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` to ``{"a": {"b": 1}}``."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        place = result
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return result
