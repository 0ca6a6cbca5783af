"""What the slow residuals say against instruments: names, doubts, and what they are called.

One instrument that alone explains a pattern is named: it drifts (maintenance), or is biased (out of
specification). Two or more that explain it alike are named together (maintenance each): a person
must check which. Beyond what quality can bear, the main force is lost, in doubt as well, and so are
the load cells of API and filler, if named: the powder's potency is as far off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.measurement.ne107 import Defect
from controller.measurement.signal_watch import Finding
from controller.measurement.signatures import NOTHING, Judgement, judge
from controller.measurement.slow import SlowState, shifts
from controller.measurement.slow_tables import MAIN, PRESS, cell_tag, feeding
from controller.measurement_config import MeasurementConfig, SlowConfig

__all__ = ["SlowOpinion", "slow_findings", "slow_judged"]

_LEVEL = "Line/Chute/Level/PV"


class Standing(NamedTuple):
    """A judgement, and since when [s, UTC] it has named the same instruments."""

    judgement: Judgement = NOTHING
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowOpinion:
    """Judgements of the forces as of now, of the forces as of the last samples, and of the feed.

    ``new`` are those of this cycle, ``shown`` the ones that have lasted, ``biased`` the tags that
    are out of specification, ``lost`` those that quality cannot bear.
    """

    new: tuple[Standing, ...] = (Standing(),) * 3
    shown: tuple[Judgement, ...] = (NOTHING,) * 3
    biased: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


def slow_judged(
    old: SlowOpinion,
    state: SlowState,
    config: MeasurementConfig,
    rates: tuple[float, ...],
) -> SlowOpinion:
    """Judge the residuals of this cycle; ``rates`` [kg/s] of the feeders, for their shares."""
    slow, now = config.slow, state.time or 0.0
    total = sum(rates)
    shares = tuple(r / total for r in rates) if total > 0.0 else ()
    known = shifts(state.tracks, slow.learn_s)
    groups = (
        (known, PRESS, slow.press),
        (shifts(state.sampled, slow.lab_learn_samples), PRESS, slow.press_sampled),
        (known, feeding(shares, config.api_feeder), slow.feeding),
    )
    new: list[Standing] = []
    shown: list[Judgement] = []
    for (found, table, limits), before, last in zip(groups, old.new, old.shown, strict=True):
        judged = judge(found, table, limits, last.tags)
        same = frozenset(judged.tags) == frozenset(before.judgement.tags)
        standing = Standing(judged, before.since if same else now)
        new.append(standing)
        shown.append(judged if now - standing.since >= slow.confirmed_after_s else last)
    biased = frozenset(
        tag
        for judgement in shown
        for tag, size in judgement.sizes
        if _beyond(size, slow.bias_percent, tag in old.biased, slow)
    )
    forces, sampled, feed = shown
    lost = _lost(_agreed(forces, sampled), old.lost, config) | _lost(feed, old.lost, config)
    return SlowOpinion(new=tuple(new), shown=tuple(shown), biased=biased, lost=lost)


def _beyond(size: float, percent: float, again: bool, slow: SlowConfig) -> bool:
    """Whether an error is beyond a limit, or still not well inside it."""
    return abs(size) >= percent / 100.0 * (slow.press.well_inside if again else 1.0)


def _lost(
    judgement: Judgement, before: frozenset[str], config: MeasurementConfig
) -> frozenset[str]:
    """What quality cannot bear: the main force, in doubt too; a cell that is named."""
    slow = config.slow
    cells = (cell_tag(config.api_feeder), cell_tag(config.filler_feeder))
    lost: set[str] = set()
    for tag, size in judgement.sizes:
        again = tag in before
        force = tag == MAIN and _beyond(size, slow.lost_percent, again, slow)
        named = again or judgement.tags == (tag,)
        if force or (named and tag in cells and _beyond(size, slow.cell_lost_percent, again, slow)):
            lost.add(tag)
    return frozenset(lost)


def slow_findings(
    opinion: SlowOpinion, state: SlowState, config: MeasurementConfig
) -> dict[str, Finding]:
    """Findings by tag."""
    slow = config.slow
    now, sampled, feed = opinion.shown
    found: dict[str, Finding] = {}
    for judgement in (_agreed(now, sampled), feed):
        found.update(_findings(judgement, opinion))
    off = state.inventory.off
    if abs(off) >= 0.5 * slow.level_step_percent / 100.0:
        text = f"stepped by {100.0 * off:+.1f} % of the chute against powder in and tablets out"
        found[_LEVEL] = Finding(Defect.DRIFT, text, 1.0)
    return found


def _agreed(now: Judgement, sampled: Judgement) -> Judgement:
    """One judgement of the forces: what both allow, else all that either does."""
    if not sampled.sizes:
        return now
    if not now.sizes:
        return sampled
    both = tuple(item for item in now.sizes if item[0] in sampled.tags)
    return now._replace(sizes=both or now.sizes + sampled.sizes)


def _findings(judgement: Judgement, opinion: SlowOpinion) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for tag, size in judgement.sizes:
        percent = 100.0 * size
        if len(judgement.sizes) > 1:
            others = ", ".join(t for t in judgement.tags if t != tag)
            text = f"reads {percent:+.1f} %, or else {others}: cannot be told apart"
            found[tag] = Finding(Defect.DISPUTED, text, 1.0)
        else:
            defect = Defect.BIAS if tag in opinion.biased else Defect.DRIFT
            found[tag] = Finding(defect, f"reads {percent:+.1f} % by all that knows of it", 1.0)
        if tag in opinion.lost:
            found[tag] = Finding(Defect.TWIN, found[tag].text, 0.0)
    return found
