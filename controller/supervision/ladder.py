"""Loss ladder: how long the line goes on without an instrument, what it gives up, how it returns.

`LOSS_LADDER` (`controller.supervision.loss_table`) is the whole rule as one table. An instrument
that is lost has no weight until it has passed the check of its row: a good status alone never
restores it. Times count while the line runs. `climb` is a pure function of its arguments; `heed`
applies its report to the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.data import Estimate, LabSample, Validated, Verdict
from controller.ladder_config import LadderConfig
from controller.measurement.health import HealthReport
from controller.measurement.ne107 import DEFECTS, Defect, DefectAction
from controller.supervision.come_back import Kind, Trial, lab_agrees, tried
from controller.supervision.loss_table import LOSS_LADDER, Divert, LossRow
from plant_models.signals import LAB

__all__ = [
    "LOSS_LADDER",
    "Divert",
    "LadderReport",
    "LadderState",
    "Loss",
    "LossRow",
    "climb",
    "heed",
]

_MISLEADING = frozenset({Defect.FROZEN, Defect.TWIN, Defect.BIAS})
_HARMLESS = frozenset({Defect.CONTEXT, Defect.NOT_NEW, Defect.NONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Memory of one row.

    ``unusable_s`` seconds of running without a usable reading; ``since`` [s, UTC] when it was lost
    (None: not lost), ``lost_s`` seconds of running since then; ``misleads`` the plant's own loop,
    which follows what it wrongly reads. The laboratory is ``in_service``
    from its first sample on, ``doubted`` is the last sample that was not believed.
    """

    unusable_s: float = 0.0
    since: float | None = None
    lost_s: float = 0.0
    cause: str = ""
    trial: Trial = field(default_factory=Trial)
    in_service: bool = False
    doubted: LabSample | None = None
    misleads: bool = False


_CLEAN = Watch()


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderState:
    """Memory of the ladder between cycles; ``time`` [s, UTC] and ``held`` tags of the last one."""

    time: float | None = None
    watches: Mapping[str, Watch] = field(default_factory=dict)
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An instrument that is lost: since when, for how long it may be, what is done now."""

    name: str
    instrument: str
    since: float
    allowed_s: float
    expired: bool
    action: DefectAction
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderReport:
    """What the losses demand now.

    ``mvs_frozen`` are held on purpose: that one of them is critical is no reason to shed. ``held``
    are tags that may have no weight, ``shed`` says why control is to be given up, ``returned`` are
    the names of rows whose instrument passed its check in this cycle.
    """

    lost: tuple[Loss, ...] = ()
    cvs_dropped: frozenset[str] = frozenset()
    mvs_frozen: frozenset[str] = frozenset()
    divert: bool = False
    shed: str = ""
    held: frozenset[str] = frozenset()
    returned: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every instrument is within its allowance."""
        return not any(loss.expired for loss in self.lost)


_NOTHING = LadderReport()


def climb(
    state: LadderState,
    validated: Validated | None,
    health: HealthReport,
    config: LadderConfig,
    *,
    time: float,
    line_running: bool,
    diameter: float,
    estimate: Estimate | None = None,
    confirmed: frozenset[str] = frozenset(),
) -> tuple[LadderState, LadderReport]:
    """One cycle of every row.

    Parameters
    ----------
    state
        Memory after the cycle before.
    validated
        Measurements after `controller.measurement.health.assess`; None if nothing was read.
    health
        Report of the same call.
    config
        Allowances and checks.
    time
        Plant time [s, UTC].
    line_running
        Whether the line runs: only then do times count and are instruments judged.
    diameter
        Of the tooling [m], for the strength of the laboratory's tablets.
    estimate
        Estimate of the cycle before, for the laboratory's check.
    confirmed
        Names of rows whose instrument somebody has checked and vouches for.

    Returns
    -------
    Memory for the next cycle, and what is to be done now.
    """
    if not config.enabled:
        return LadderState(time=time), _NOTHING
    step = 0.0 if state.time is None else max(time - state.time, 0.0)
    if not line_running or validated is None:
        after = LadderState(time=time, watches=_standing(state.watches))
        return _reported(after, config, ())
    watches: dict[str, Watch] = {}
    returned: list[str] = []
    for row in LOSS_LADDER:
        lacking = row.kind is not Kind.LAB and row.tags[0] not in validated.measurements
        if lacking or row.name in config.rows_off:
            continue
        watch = state.watches.get(row.name, _CLEAN)
        if row.kind is Kind.LAB:
            sound = bool(validated.samples) and lab_agrees(
                validated.samples[-1], watch.doubted, estimate, config, diameter
            )
            new = _watch_lab(row, watch, validated, config, time, step, sound)
        else:
            new = _watch(row, watch, validated, health, config, time, step)
        if new.since is not None and row.name in confirmed:
            new = Watch(in_service=new.in_service)
        if watch.since is not None and new.since is None:
            returned.append(row.name)
        watches[row.name] = new
    after = LadderState(time=time, watches=watches)
    return _reported(after, config, tuple(returned))


def _standing(watches: Mapping[str, Watch]) -> Mapping[str, Watch]:
    """A line that stands gives no samples: the wait for one begins anew when it runs."""
    lab = watches.get("lab", _CLEAN)
    if lab.since is not None or lab.unusable_s == 0.0:
        return watches
    return {**watches, "lab": replace(lab, unusable_s=0.0)}


def heed(validated: Validated, report: LadderReport) -> Validated:
    """The measurements with what the ladder demands: no weight for what is lost.

    What the ladder keeps within its allowance, or has already acted on, is not missing any more.
    """
    if not report.held:
        return validated
    measurements = dict(validated.measurements)
    for tag in report.held & measurements.keys():
        m = measurements[tag]
        if m.weight > 0.0:
            measurements[tag] = replace(
                m, weight=0.0, verdict=Verdict.DROP, reason="lost: has not passed its check yet"
            )
    missing = tuple(t for t in validated.missing if t not in report.held)
    samples = () if LAB.WEIGHT in report.held else validated.samples
    return replace(
        validated,
        measurements=measurements,
        missing=missing,
        enough=not missing,
        samples=samples,
    )


def _watch(
    row: LossRow,
    watch: Watch,
    validated: Validated,
    health: HealthReport,
    config: LadderConfig,
    time: float,
    step: float,
) -> Watch:
    tag = row.tags[0]
    seen = health.signals.get(tag)
    defect = Defect.NONE if seen is None else seen.defect
    usable = validated.measurements[tag].weight > 0.0
    if watch.since is None:
        if usable or defect in _HARMLESS:
            return _CLEAN if usable else watch
        unusable = watch.unusable_s + step
        certain = DEFECTS[defect].certain
        if not certain and unusable < row.lost_after_s(config):
            return replace(watch, unusable_s=unusable)
        return Watch(
            since=time,
            cause=str(defect) if seen is None else seen.text or str(defect),
            misleads=row.follows and defect in _MISLEADING,
        )
    trial, passed = tried(row.kind, watch.trial, tag, usable, defect, health, config)
    if passed:
        return _CLEAN
    return replace(watch, lost_s=watch.lost_s + step, trial=trial)


def _watch_lab(
    row: LossRow,
    watch: Watch,
    validated: Validated,
    config: LadderConfig,
    time: float,
    step: float,
    sound: bool,
) -> Watch:
    """The laboratory: a sample that does not come is late; too many are a loss."""
    waited = watch.unusable_s + step
    expired = watch.since is not None and watch.lost_s > row.allowed_s(config)
    if validated.samples:
        sample = validated.samples[-1]
        if not expired or sound:
            return Watch(unusable_s=max(validated.time - sample.taken, 0.0), in_service=True)
        watch = replace(watch, doubted=sample)
    if not watch.in_service:
        return watch
    if watch.since is not None:
        return replace(watch, unusable_s=waited, lost_s=watch.lost_s + step)
    if waited > row.lost_after_s(config):
        return replace(watch, unusable_s=waited, since=time, cause="a sample is missing")
    return replace(watch, unusable_s=waited)


def _reported(
    state: LadderState, config: LadderConfig, returned: tuple[str, ...]
) -> tuple[LadderState, LadderReport]:
    report = _report(state, config, returned)
    return replace(state, held=report.held), report


def _report(state: LadderState, config: LadderConfig, returned: tuple[str, ...]) -> LadderReport:
    lost: list[Loss] = []
    cvs: set[str] = set()
    mvs: set[str] = set()
    held: set[str] = set()
    divert, shed = False, ""
    for row in LOSS_LADDER:
        watch = state.watches.get(row.name)
        if watch is None or watch.since is None:
            continue
        allowed = row.allowed_s(config)
        over = watch.lost_s > allowed if row.kind is Kind.LAB else watch.lost_s >= allowed
        expired = over or watch.misleads
        action = DefectAction.SUBSTITUTE
        if expired:
            action = DefectAction.SHED if row.sheds else DefectAction.DEGRADE
            cvs.update(row.cvs_dropped)
            mvs.update(row.mvs_frozen)
            divert = divert or row.divert is not Divert.NEVER
            if row.sheds and not shed:
                shed = f"{row.instrument} is lost: {watch.cause}"
        divert = divert or row.divert is Divert.AT_ONCE
        if expired or row.kind is not Kind.LAB:
            held.update(row.tags)
        left = max(allowed - watch.lost_s, 0.0)
        text = "time is up" if expired else f"{left:.0f} s left on the twin"
        if watch.misleads:
            text = "the plant's own loop follows it"
        lost.append(
            Loss(
                name=row.name,
                instrument=row.instrument,
                since=watch.since,
                allowed_s=allowed,
                expired=expired,
                action=action,
                text=f"{row.instrument}: {watch.cause}; {text}; returns when: {row.come_back}",
            )
        )
    if not lost and not returned:
        return _NOTHING
    return LadderReport(
        lost=tuple(lost),
        cvs_dropped=frozenset(cvs),
        mvs_frozen=frozenset(mvs),
        divert=divert,
        shed=shed,
        held=frozenset(held),
        returned=returned,
    )
