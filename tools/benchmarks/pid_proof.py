"""Proof that the conventional control is not weak: no gain, halved or doubled, does much better.

On the seeds that it was tuned on, each gain in turn is halved and doubled. If another value lowered
the sum of the normalised integral errors by 10 % or more, the tuning would be at fault, and so
would every comparison with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from controller.config import PidConfig
from controller.data import CV
from tools.benchmarks.control import Job, Outcome, configured, run_jobs

__all__ = ["FACTORS", "GAINS", "LIMIT_PERCENT", "TUNING_SEEDS", "changed", "run_pid_proof"]

TUNING_SEEDS = (11, 12, 13, 14, 15)
LIMIT_PERCENT = 10.0
FACTORS = {"half": 0.5, "double": 2.0}
# Gains, and times that are the inverse of one (halving the time doubles the gain).
GAINS = {
    "weight_gain": False,
    "strength_gain": False,
    "surplus_gain_per_s": False,
    "refill_feed_forward": False,
    "level_s": True,
    "balance_s": True,
}
CVS = tuple(cv.value for cv in CV)


def changed(config: PidConfig, name: str, factor: float) -> tuple[tuple[str, float], ...]:
    """The setting whose gain is ``factor`` times the configured one; shares end at 1."""
    value = float(getattr(config, name))
    new = value / factor if GAINS[name] else value * factor
    return ((name, min(new, 1.0) if name in ("weight_gain", "strength_gain") else new),)


def _sums(outcomes: Sequence[Outcome], base: Mapping[str, float]) -> tuple[float, float]:
    """Sum over CVs of the mean ``iae_norm``, plain and with every CV relative to ``base``."""
    means = _means(outcomes)
    return sum(means.values()), sum(means[cv] / base[cv] for cv in CVS)


def _means(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {cv: sum(o.scores[cv]["iae_norm"] for o in outcomes) / len(outcomes) for cv in CVS}


def run_pid_proof(
    console: Console | None = None,
    seeds: Sequence[int] = TUNING_SEEDS,
    minutes: float = 120.0,
    gains: Sequence[str] = tuple(GAINS),
    workers: int = 2,
) -> dict[str, Any]:
    """Run the proof.

    Returns
    -------
    ``{"pid": {...}}``: ``iae_norm.<CV>`` and ``iae_sum`` as configured (means over the seeds);
    ``change_percent.<gain>.{half,double}``, the change of the sum (negative is better than as
    configured) and ``change_relative_percent``, the same with every CV in units of its own error;
    ``best_percent``, the largest improvement found in either; ``limit_percent``.
    """
    plain = Job(controller="pid", seed=seeds[0], minutes=minutes)
    config = configured(plain).pid
    variants = [((), "", "")] + [
        (changed(config, name, factor), name, which)
        for name in gains
        for which, factor in FACTORS.items()
    ]
    jobs = [replace(plain, seed=s, changes=change) for change, _, _ in variants for s in seeds]
    outcomes = run_jobs(jobs, console, workers, "pid")
    groups = [outcomes[i : i + len(seeds)] for i in range(0, len(outcomes), len(seeds))]
    base = _means(groups[0])
    total, relative = _sums(groups[0], base)
    change: dict[str, dict[str, float]] = {name: {} for name in gains}
    change_relative: dict[str, dict[str, float]] = {name: {} for name in gains}
    for (_, name, which), group in zip(variants[1:], groups[1:], strict=True):
        plain_sum, relative_sum = _sums(group, base)
        change[name][which] = 100.0 * (plain_sum / total - 1.0)
        change_relative[name][which] = 100.0 * (relative_sum / relative - 1.0)
    every = [
        v for table in (change, change_relative) for row in table.values() for v in row.values()
    ]
    result = {
        "iae_norm": base,
        "iae_sum": total,
        "change_percent": change,
        "change_relative_percent": change_relative,
        "best_percent": max(0.0, -min(every)),
        "limit_percent": LIMIT_PERCENT,
        "seeds": list(seeds),
        "minutes": minutes,
    }
    if console is not None:
        _print(console, config, result)
    return {"pid": result}


def _print(console: Console, config: PidConfig, result: Mapping[str, Any]) -> None:
    table = Table(title=f"Conventional control, seeds {result['seeds']}: change of the error sum")
    table.add_column("setting")
    for heading in ("configured", "gain halved, %", "gain doubled, %"):
        table.add_column(heading, justify="right")
    for name, row in result["change_percent"].items():
        other = result["change_relative_percent"][name]
        cells = [f"{row[w]:+.1f} [dim]({other[w]:+.1f})[/]" for w in FACTORS]
        table.add_row(name, f"{getattr(config, name):g}", *cells)
    console.print(table)
    best, limit = result["best_percent"], result["limit_percent"]
    word = "[green]met[/]" if best < limit else "[red]not met[/]"
    console.print(f"best improvement {best:.1f} %, wanted below {limit:g} %: {word}")
