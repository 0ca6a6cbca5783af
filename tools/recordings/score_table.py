"""The score of a recording's forecasts as tables: parts, batches, goals with their verdict."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from tools.benchmarks.control_table import Goal
from tools.recordings.all_opponents import ARX, EWMA, PERSISTENCE
from tools.recordings.origins import SUBSETS
from tools.recordings.scoring import FORECAST, Part, RecordingScore

__all__ = ["print_score"]

_VERDICT = {True: "[green]met[/]", False: "[red]not met[/]", None: "[yellow]open[/]"}


def print_score(console: Console, score: RecordingScore) -> None:
    """Print what was reached beside the opponents, how these came about, and the goals."""
    parts = score.parts
    console.print(_parts("Force 60 s ahead, RMSE in kN", (parts["scored"], parts["all"])))
    lines = [parts[name] for name in (*SUBSETS, "restart")]
    console.print(_parts("Where something happened (scored origins; restart: all running)", lines))
    console.print(_parts("Scored origins, batch by batch", score.batches))
    for line in _origin_of_opponents(score):
        console.print(line, highlight=False)
    console.print(_goals(score.goals))


def _parts(title: str, parts: Iterable[Part]) -> Table:
    table = Table(title=title)
    table.add_column("")
    headings = ("origins", "forecast", "last value", "weighted mean", "ARX", "over weighted mean")
    for heading in (*headings, "95 % covers", "± kN"):
        table.add_column(heading, justify="right")
    for part in parts:
        lo, hi = part.ratio_range
        count = f"{part.count}" + (f" (+{part.missing} missing)" if part.missing else "")
        table.add_row(
            part.text,
            count if part.judged else f"{count}, too few",
            *(_number(part.rmse[name]) for name in (FORECAST, PERSISTENCE, EWMA, ARX)),
            f"{_number(part.ratio, 3)} [dim]{_number(lo, 3)}-{_number(hi, 3)}[/]",
            _number(part.coverage, 3),
            _number(part.half_width, 3),
            style=None if part.judged else "dim",
        )
    return table


def _origin_of_opponents(score: RecordingScore) -> list[str]:
    found = score.opponents
    lines = [
        f"Fitted on batches: {', '.join(score.fitted) or 'none'}.",
        f"Weighted mean: constant {found.alpha:.4f}; begun with the first value instead: "
        f"{found.alpha_first:.4f}, RMSE {_number(score.parts['scored'].rmse['ewma_first_value'])}.",
    ]
    if found.arx_text:
        ratio, error = found.arx_error
        lines += [
            f"ARX: {found.arx_text}; cross-validated sum of squares {ratio:.3f} ± {error:.3f} of "
            "the weighted mean's.",
            f"For information: the candidate that is best in hindsight "
            f"{_number(found.arx_hindsight / 1e3)} ({found.arx_hindsight_text}); largest ARX "
            f"fitted to the scored origins themselves {_number(found.arx_bound / 1e3)}.",
        ]
    return lines


def _goals(goals: Iterable[Goal]) -> Table:
    table = Table(title="Goals")
    for heading in ("goal", "reached", "wanted", ""):
        table.add_column(heading)
    for goal in goals:
        reached = goal.note if goal.value is None else f"{goal.value:.4g} {goal.note}".strip()
        bounds = [f">= {goal.lo:g}"] if goal.lo is not None else []
        bounds += [f"<= {goal.hi:g}"] if goal.hi is not None else []
        table.add_row(goal.name, reached, ", ".join(bounds), _VERDICT[goal.met])
    return table


def _number(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"
