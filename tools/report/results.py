"""Results of the demo: keys for machines, a table and goals for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from controller.data import CV
from hil.config import ScenarioConfig
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.report.data import RunData
from tools.scoring import CV_UNITS, UNITS
from tools.shift_score import score_shift

__all__ = ["Goal", "Row", "demo_document", "glance", "goals", "result_table", "rows", "score_run"]

MARGIN = 15  # released tablets out of specification beyond the floor
BUMP = 0.25
IAE_SHARE: dict[str, float] = {
    CV.TABLET_WEIGHT.value: 0.40,
    CV.TENSILE_STRENGTH.value: 0.50,
    CV.POTENCY.value: 0.50,
    CV.THROUGHPUT.value: 0.50,
}
ZONE_NAMES: dict[str, str] = {
    "main_compression_force": "main force",
    "chute_level": "chute level",
    "tablet_thickness": "thickness",
}
CV_NAMES: dict[str, str] = {
    CV.POTENCY.value: "potency",
    CV.TABLET_WEIGHT.value: "tablet weight",
    CV.TENSILE_STRENGTH.value: "tensile strength",
    CV.THROUGHPUT.value: "throughput",
}


def score_run(
    data: RunData,
    line: ResolvedLine,
    scenario: ScenarioConfig,
    minutes: float,
    closed: int,
    period: int,
    wall_s: float,
) -> dict[str, Any]:
    """Every key of one run; ``closed`` is the plant second at which the counted window begins."""
    return score_shift(
        line=line,
        table=signal_table(line.line),
        scenario=scenario,
        minutes=minutes,
        seconds=data.seconds,
        tablets=data.tablets,
        commands=data.commands,
        cycles=data.notes,
        start=float(closed),
        period=float(period),
        wall_s=wall_s,
    )


def demo_document(
    first: str, scores: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]
) -> dict[str, Any]:
    """The result of a demo.

    Parameters
    ----------
    first
        Controller whose keys stand at the top; the others' stand under their names.
    scores
        Results of the runs that succeeded.
    failed
        What went wrong with the others.
    """
    top: dict[str, Any] = {"controller": first, **scores.get(first, {}), "units": UNITS}
    for name, found in scores.items():
        if name != first:
            top[name] = {k: v for k, v in found.items() if k != "units"}
    if failed:
        top["failed"] = dict(failed)
    return top


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: text, unit, dotted key, digits after the point."""

    text: str
    unit: str
    key: str
    digits: int = 0


def glance() -> list[Row]:
    """The few lines that say most."""
    wanted = ("released_out_of_spec", "out_of_spec", "floor", "excess", "iae_norm")
    return [r for _, group in rows() for r in group if r.key.rpartition(".")[2] in wanted]


def rows() -> list[tuple[str, list[Row]]]:
    """All lines of the table, in groups."""
    tablets = [
        Row(text=text, unit="tablets", key=f"tablets.{key}")
        for key, text in (
            ("made", "made"),
            ("rejected", "rejected one by one"),
            ("diverted", "diverted"),
            ("released", "released, counted window"),
            ("released_out_of_spec", "released out of specification"),
            ("out_of_spec", "made out of specification"),
            ("floor", "of these scatter alone (floor)"),
            ("excess", "excess over the floor"),
        )
    ]
    quality: list[Row] = []
    for cv, name in CV_NAMES.items():
        unit = CV_UNITS[cv]
        quality += [
            Row(text=f"{name}: error (IAE)", unit="% of set point", key=f"{cv}.iae_norm", digits=3),
            Row(text=f"{name}: RMSE", unit=unit, key=f"{cv}.rmse", digits=3),
            Row(text=f"{name}: out of spec", unit="s", key=f"{cv}.time_out_of_spec_s"),
        ]
    zones = [
        Row(text=f"{name} outside its zone", unit="s", key=f"{zone}.time_outside_s")
        for zone, name in ZONE_NAMES.items()
    ]
    estimates: list[Row] = []
    for cv, name in CV_NAMES.items():
        unit = CV_UNITS[cv]
        estimates += [
            Row(text=f"{name}: estimate's RMSE", unit=unit, key=f"mhe.{cv}.rmse", digits=3),
            Row(text=f"{name}: 95 % half-width", unit=unit, key=f"mhe.{cv}.half_width", digits=3),
            Row(text=f"{name}: coverage", unit="share", key=f"mhe.{cv}.coverage_95", digits=3),
            Row(text=f"{name}: sharpness", unit="ratio", key=f"mhe.{cv}.sharpness", digits=2),
        ]
    limit = "of rate limit"
    loop = [
        Row(text="MV rate violation", unit=limit, key="max_mv_rate_violation", digits=3),
        Row(text="bump at closing", unit=limit, key="bump_at_closing", digits=3),
        Row(text="cycles", unit="", key="cycles"),
        Row(text="overruns", unit="", key="overruns"),
        Row(text="cycle, median", unit="ms", key="cycle_ms.median", digits=1),
        Row(text="cycle, 99th percentile", unit="ms", key="cycle_ms.p99", digits=1),
        Row(text="real-time factor", unit="×", key="real_time_factor", digits=1),
    ]
    return [
        ("Tablets", tablets),
        ("Control", quality),
        ("Zones", zones),
        ("Estimates against the truth", estimates),
        ("Loop and computers", loop),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal, what was reached, and whether that is enough."""

    text: str
    reached: str
    wanted: str
    met: bool


def goals(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Goal]:
    """Goals of the shift for the optimising controller, as far as they can be judged.

    A shift for supervision has its own, for every controller.
    """
    if any("supervision" in run for run in scores.values()):
        for name, run in scores.items():
            yield from _supervision_goals(name, run)
        return
    nmpc, pid = scores.get("nmpc"), scores.get("pid")
    if nmpc is None:
        return
    tablets = nmpc["tablets"]
    most = tablets["floor"] + MARGIN
    yield Goal(
        text=f"released out of specification, floor + {MARGIN}",
        reached=f"{tablets['released_out_of_spec']}",
        wanted=f"≤ {most}",
        met=tablets["released_out_of_spec"] <= most,
    )
    if pid is not None:
        mine, other = tablets["excess"], pid["tablets"]["excess"]
        yield Goal(
            text="excess, nmpc over pid",
            reached=f"{mine} : {other}",
            wanted="≤ 0.1",
            met=mine <= 0.1 * max(other, 10),
        )
        for cv, share in IAE_SHARE.items():
            ratio = nmpc[cv]["iae_norm"] / max(pid[cv]["iae_norm"], 1e-12)
            yield Goal(
                text=f"{CV_NAMES[cv]}: IAE, nmpc over pid",
                reached=f"{ratio:.2f}",
                wanted=f"≤ {share:.2f}",
                met=ratio <= share,
            )
    for cv, found in nmpc.get("mhe", {}).items():
        covered = found["coverage_95"]
        yield Goal(
            text=f"{CV_NAMES.get(cv, cv)}: truth inside 95 % interval",
            reached=f"{covered:.3f}",
            wanted="0.90–0.99",
            met=0.90 <= covered <= 0.99,
        )
    violation = max(run["max_mv_rate_violation"] for run in scores.values())
    yield Goal(
        text="MV rates exceeded, worst of all runs",
        reached=f"{violation:.3f}",
        wanted="0",
        met=violation <= 0.0,
    )
    bump = max(run["bump_at_closing"] for run in scores.values())
    yield Goal(
        text="bump at closing, worst of all runs",
        reached=f"{bump:.3f}",
        wanted=f"≤ {BUMP:g}",
        met=bump <= BUMP,
    )


def _supervision_goals(name: str, run: Mapping[str, Any]) -> Iterator[Goal]:
    tablets, account = run["tablets"], run["supervision"]
    most = tablets["floor"] + MARGIN
    yield Goal(
        text=f"{name}: released out of specification, floor + {MARGIN}",
        reached=f"{tablets['released_out_of_spec']}",
        wanted=f"≤ {most}",
        met=tablets["released_out_of_spec"] <= most,
    )
    last = account["timeline"][-1]["state"]
    yield Goal(
        text=f"{name}: sheds, and the mode at the end",
        reached=f"{account['sheds']}, {last}",
        wanted="0, CLOSED_LOOP",
        met=account["sheds"] == 0 and last == "CLOSED_LOOP",
    )
    bump = account["largest_bump"]
    yield Goal(
        text=f"{name}: largest move within a minute of a transfer, rate steps",
        reached=f"{bump:.3f}",
        wanted="≤ 1",
        met=bump <= 1.0 + 1e-9,
    )
    yield Goal(
        text=f"{name}: MV rates exceeded",
        reached=f"{run['max_mv_rate_violation']:.3f}",
        wanted="0",
        met=run["max_mv_rate_violation"] <= 0.0,
    )


def value_at(run: Mapping[str, Any], key: str) -> float | None:
    """Number under a dotted key, or None."""
    node: Any = run
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return float(node)


def shown(value: float | None, digits: int) -> str:
    """Number as text; a dash for none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def result_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """The table for a terminal."""
    table = Table(title="Results", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    table.add_column("unit", style="dim")
    for name in scores:
        table.add_column(name, justify="right")
    for title, group in rows():
        table.add_row(f"[bold]{title}[/]")
        for row in group:
            cells = [shown(value_at(run, row.key), row.digits) for run in scores.values()]
            if any(cell != "–" for cell in cells):
                table.add_row(f"  {row.text}", row.unit, *cells)
    return table


def goal_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """Goals for a terminal."""
    table = Table(
        title="Goals of this shift", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for heading in ("goal", "reached", "wanted", ""):
        table.add_column(heading)
    for goal in goals(scores):
        word = "[green]met[/]" if goal.met else "[bold red]missed[/]"
        table.add_row(goal.text, goal.reached, goal.wanted, word)
    return table
