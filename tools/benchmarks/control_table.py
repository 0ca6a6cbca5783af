"""The control benchmark as a table: what was reached, and which goals are met and which are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from controller.data import CV

__all__ = ["Goal", "goals", "print_control"]

CVS = tuple(cv.value for cv in CV)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal: what, reached value, and the range in which it is met (``None``: no bound)."""

    name: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is met; ``None`` if it could not be judged."""
        if self.value is None:
            return None
        return (self.lo is None or self.value >= self.lo - 1e-12) and (
            self.hi is None or self.value <= self.hi + 1e-12
        )


def goals(flat: Mapping[str, Any]) -> list[Goal]:
    """All goals of the benchmark, from its flat keys; only those whose numbers exist."""
    found: list[Goal] = []
    if "ratio.excess" in flat:
        ratio = flat["ratio.excess"]
        if isinstance(ratio, str):
            found.append(Goal(name="excess, pid over nmpc", value=None, lo=10.0, note=ratio))
        else:
            found.append(Goal(name="excess, pid over nmpc", value=ratio, lo=10.0))
        for cv, hi in (
            (CV.TABLET_WEIGHT.value, 0.40),
            (CV.TENSILE_STRENGTH.value, 0.50),
            (CV.POTENCY.value, 0.50),
            (CV.THROUGHPUT.value, 0.50),
        ):
            share = flat[f"nmpc.iae_norm.{cv}"] / max(flat[f"pid.iae_norm.{cv}"], 1e-12)
            found.append(Goal(name=f"iae_norm of {cv}, nmpc over pid", value=share, hi=hi))
    for cv in CVS:
        if f"mhe.coverage_95.{cv}" in flat:
            covered, sharp = flat[f"mhe.coverage_95.{cv}"], flat[f"mhe.sharpness.{cv}"]
            found.append(
                Goal(name=f"95 % interval of {cv} covers", value=covered, lo=0.90, hi=0.99)
            )
            found.append(Goal(name=f"its sharpness ({cv})", value=sharp, lo=0.7, hi=1.6))
    for key, value in flat.items():
        if key.startswith("mhe.coverage_95_after_lot."):
            cv = key.rsplit(".", 1)[1]
            found.append(Goal(name=f"covers in 10 min after the lot ({cv})", value=value, lo=0.80))
    for name in ("nmpc", "lmpc", "pid"):
        if f"{name}.max_mv_rate_violation" in flat:
            value = flat[f"{name}.max_mv_rate_violation"]
            found.append(Goal(name=f"violation of MV rates, {name}", value=value, hi=0.0))
    if "bump_at_closing" in flat:
        found.append(Goal(name="bump at closing", value=flat["bump_at_closing"], hi=0.25))
    late = flat.get("not_closed_in_time")
    if late is not None:
        found.append(
            Goal(
                name="loops not closed in time",
                value=float(len(late)),
                hi=0.0,
                note=", ".join(late),
            )
        )
    return found


def _bounds(goal: Goal) -> str:
    if goal.lo is not None and goal.hi is not None:
        return f"{goal.lo:g} to {goal.hi:g}"
    return f">= {goal.lo:g}" if goal.lo is not None else f"<= {goal.hi:g}"


def print_control(console: Console, flat: Mapping[str, Any]) -> None:
    """Print the results per controller, then every goal with its verdict."""
    names = [c for c in ("nmpc", "lmpc", "pid", "plc") if f"{c}.excess" in flat]
    table = Table(title=f"Control, {flat['minutes']:g} min, seeds {flat['seeds']}: median [range]")
    table.add_column("figure")
    for name in names:
        table.add_column(name, justify="right")
    rows = [("excess tablets", "excess", 0)]
    rows += [(f"iae_norm {cv}, %", f"iae_norm.{cv}", 3) for cv in CVS]
    rows += [("median cycle, ms", "cycle_ms", 2), ("wall time of a shift, s", "shift_wall_s", 1)]
    for text, key, digits in rows:
        cells = []
        for name in names:
            lo, hi = flat[f"range.{name}.{key}"]
            middle = flat[f"{name}.{key}"]
            cells.append(f"{middle:.{digits}f} [dim]{lo:.{digits}f}-{hi:.{digits}f}[/]")
        table.add_row(text, *cells)
    console.print(table)
    verdicts = Table(title="Goals")
    for heading in ("goal", "reached", "wanted", ""):
        verdicts.add_column(heading)
    for goal in goals(flat):
        reached = goal.note if goal.value is None else f"{goal.value:.3g} {goal.note}".strip()
        word = {True: "[green]met[/]", False: "[red]not met[/]", None: "[yellow]open[/]"}[goal.met]
        verdicts.add_row(goal.name, reached, _bounds(goal), word)
    console.print(verdicts)
