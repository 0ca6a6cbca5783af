"""Evaluates every permissive that exists from the data of one cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.config import SupervisionConfig
from controller.data import Command, Estimate, Mode, Plan, ReachedBy, Validated
from controller.supervision.gate_checks import not_read_back
from controller.supervision.permissives import Finding, Name, Shown
from controller.supervision.roles import Action, refusal
from controller.supervision.supervisor import SupervisionState
from plant_models.signals import PLC, LineState, Snapshot

__all__ = [
    "Bound",
    "Counters",
    "InService",
    "Instruments",
    "LinkStatus",
    "Ready",
    "count",
    "findings",
]

_SOLVED = frozenset({ReachedBy.FAST, ReachedBy.REFERENCE, ReachedBy.BASELINE})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """What the runtime knows of the link: state by its own clock, disagreements with the plant.

    ``disagreements`` are tags whose engineering unit or range on the server is not ours.
    ``certificates`` are the days that are left to each certificate of the link (``controller``,
    ``plant``, ``operator``), by the computer's own date; negative once it has expired.
    """

    connected: bool = True
    alive: bool = True
    note: str = ""
    disagreements: tuple[str, ...] = ()
    certificates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Consecutive cycles that passed or failed, kept between cycles.

    A short failure keeps the count of passes, so that a permissive comes back with the next pass; a
    failure as long as its debounce starts the count again.
    """

    estimator_passes: int = 0
    estimator_fails: int = 0
    solver_passes: int = 0
    solver_fails: int = 0
    frame_sent: bool = False
    rejected_count: int | None = None


def count(
    counters: Counters,
    config: SupervisionConfig,
    estimate: Estimate | None,
    plan: Plan | None,
    *,
    resting: bool = False,
) -> Counters:
    """Count this cycle's innovation test and solver outcome.

    While a closed loop is ``resting``, and until it has gone on for long enough, a test that could
    not be made is none that failed: the ones before the stop stand.
    """
    estimator = counters.estimator_passes, counters.estimator_fails
    if not resting or estimate is None or estimate.tested:
        estimator = _streak(
            *estimator,
            estimate is not None and estimate.converged,
            config.debounce.estimator_cycles,
        )
    solver = _streak(
        counters.solver_passes,
        counters.solver_fails,
        plan is not None and plan.reached_by in _SOLVED,
        config.debounce.solver_cycles,
    )
    return replace(
        counters,
        estimator_passes=estimator[0],
        estimator_fails=estimator[1],
        solver_passes=solver[0],
        solver_fails=solver[1],
    )


def _streak(passes: int, fails: int, passed: bool, forget_after: int) -> tuple[int, int]:
    if passed:
        return passes + 1, 0
    return (0 if fails + 1 >= forget_after else passes), fails + 1


class Ready(Protocol):
    """What is needed of a readiness report."""

    @property
    def ready(self) -> bool:
        """Whether CLOSED_LOOP may be offered."""
        ...

    @property
    def text(self) -> str:
        """Ready, or what is missing."""
        ...


class Instruments(Protocol):
    """What is needed of the report of the loss ladder."""

    @property
    def lost(self) -> Sized:
        """Instruments that are lost."""
        ...

    @property
    def shed(self) -> str:
        """What is lost for too long, or nothing."""
        ...


class InService(Protocol):
    """What is needed of the report of the services."""

    @property
    def lost(self) -> str:
        """The critical variable or the minimum that is missing, or nothing."""
        ...

    @property
    def serving(self) -> int:
        """How many variables are in service."""
        ...

    @property
    def held(self) -> frozenset[str]:
        """MVs that are there but not moved now."""
        ...


class Bound(Protocol):
    """What is needed of the product set that the run is bound to."""

    @property
    def name(self) -> str:
        """Name of the set."""
        ...

    @property
    def recipe_id_wanted(self) -> str:
        """What the PLC must show."""
        ...

    @property
    def objection(self) -> str:
        """Why nobody may run with this set, or nothing."""
        ...


def findings(
    snapshot: Snapshot,
    validated: Validated | None,
    state: SupervisionState,
    counters: Counters,
    config: SupervisionConfig,
    *,
    link: LinkStatus,
    last_heartbeat: int | None,
    structure: str,
    epoch: int,
    model_version: str,
    recipe_id: str,
    has_estimator: bool,
    write_trouble: str,
    last_command: Command | None = None,
    critical: tuple[str, ...] = (),
    readiness: Ready | None = None,
    ladder: Instruments | None = None,
    services: InService | None = None,
    product: Bound | None = None,
) -> list[Finding]:
    """All permissives of this cycle, in the order in which they are shown.

    Parameters
    ----------
    snapshot, validated
        Data of this cycle; ``validated`` is None if nothing was read.
    state
        For the signature or the pending request.
    counters
        Including this cycle, except for the commands.
    config
        Numbers of cycles and roles.
    link
        State of the connection.
    last_heartbeat
        Plant heartbeat of the cycle before.
    structure, epoch
        PLC mode that we ask for, and our lease.
    model_version, recipe_id
        What the plant must show.
    has_estimator
        Whether the algorithm estimates; if not, that permissive is absent.
    write_trouble
        What went wrong with the frame of the cycle before.
    last_command
        Command of the cycle before, to compare with what reads back.
    critical
        MVs that must be available.
    readiness, ladder, services, product
        Reports of this cycle; the permissive of one that is None is absent.
    """
    found = [
        Finding(Name.HEARTBEAT, *_heartbeat(snapshot, validated, link, last_heartbeat, config)),
        Finding(Name.PLC_MODE, *_plc_mode(validated, structure, epoch)),
        Finding(Name.LINE_STATE, *_line_state(validated)),
        Finding(Name.PERMIT, *_permit(validated)),
        Finding(Name.MEASUREMENTS, *_measurements(validated)),
    ]
    if ladder is not None:
        found.append(Finding(Name.INSTRUMENTS, *_instruments(ladder)))
    if critical:
        held = frozenset() if services is None else services.held
        found.append(Finding(Name.SET_POINTS, *_set_points(validated, critical, held)))
    if services is not None:
        text = services.lost or "in service"
        found.append(Finding(Name.SERVICES, not services.lost, text, services.serving))
    if has_estimator:
        found.append(
            _in_a_row(
                Name.ESTIMATOR,
                counters.estimator_passes,
                counters.estimator_fails,
                config.estimator_cycles,
            )
        )
    found.append(
        _in_a_row(Name.SOLVER, counters.solver_passes, counters.solver_fails, config.solver_cycles)
    )
    found.append(Finding(Name.AGREEMENT, *_agreement(snapshot, link, model_version, recipe_id)))
    if product is not None:
        found.append(Finding(Name.PRODUCT, *_product(snapshot, product)))
    refused = _more_refused(snapshot, counters)
    trouble = write_trouble or (f"the PLC refused {refused} frame(s)" if refused else "")
    sent = None if last_command is None else last_command.frame
    trouble = trouble or not_read_back(sent, snapshot) or _still(state, counters)
    found.append(Finding(Name.COMMANDS, not trouble, trouble or "no refusal", refused))
    if readiness is not None:
        found.append(Finding(Name.READINESS, readiness.ready, readiness.text))
    found.append(Finding(Name.OPERATOR, *_operator(state, config)))
    return found


_Found = tuple[bool, str, Shown]


def _heartbeat(
    snapshot: Snapshot,
    validated: Validated | None,
    link: LinkStatus,
    last: int | None,
    config: SupervisionConfig,
) -> _Found:
    if not link.connected:
        return False, link.note or "not connected", None
    if not link.alive:
        return False, link.note or "the plant is silent", None
    if validated is None or validated.heartbeat < 0:
        return False, "unreadable", None
    age = snapshot.time - snapshot.values[PLC.HB].source_time
    if age > config.heartbeat_age_max_s:
        return False, f"{age:.0f} s old", age
    if last is None:
        return False, "seen once", age
    if validated.heartbeat <= last:
        return False, f"did not advance from {last} (is {validated.heartbeat})", age
    return True, "beats", age


def _plc_mode(validated: Validated | None, structure: str, epoch: int) -> _Found:
    if validated is None:
        return False, "unknown", None
    mode = str(validated.plc_mode)
    if mode != structure:
        return False, f"the PLC is in {mode}, not {structure}", mode
    if validated.lease_epoch != epoch:
        return False, "another controller holds the lease", mode
    return True, f"{structure}, lease ours", mode


def _line_state(validated: Validated | None) -> _Found:
    if validated is None:
        return False, "unknown", None
    state = str(validated.line_state)
    return validated.line_state is LineState.RUNNING, state, state


def _permit(validated: Validated | None) -> _Found:
    if validated is None:
        return False, "no permission of the PLC", None
    if not validated.permit:
        return False, "no permission of the PLC", "no"
    return True, "given", "yes"


def _measurements(validated: Validated | None) -> _Found:
    if validated is None:
        return False, "nothing was read", None
    missing = validated.missing
    return validated.enough, ", ".join(missing) or "enough", len(missing)


def _instruments(ladder: Instruments) -> _Found:
    lost = len(ladder.lost)
    return not ladder.shed, ladder.shed or (f"{lost} lost, allowed" if lost else "none lost"), lost


def _set_points(
    validated: Validated | None, critical: tuple[str, ...], held: frozenset[str]
) -> _Found:
    if validated is None:
        return False, "unknown", None
    there = validated.available
    lost = [tag for tag in critical if not there.get(tag, False) and tag not in held]
    return not lost, ", ".join(lost) or "available", len(lost)


def _in_a_row(name: Name, passes: int, fails: int, needed: int) -> Finding:
    good = fails == 0 and passes >= needed
    return Finding(name, good, f"{passes} of {needed} cycles", passes)


def _agreement(snapshot: Snapshot, link: LinkStatus, model_version: str, recipe_id: str) -> _Found:
    theirs, recipe = snapshot.text(PLC.MODEL_VERSION), snapshot.text(PLC.RECIPE_ID)
    if theirs != model_version:
        return False, f"signal list {theirs} in the plant, {model_version} here", recipe
    if recipe != recipe_id:
        return False, f"recipe {recipe} in the plant, {recipe_id} here", recipe
    if link.disagreements:
        return False, "unit or range differs: " + ", ".join(link.disagreements), recipe
    return True, f"recipe {recipe_id}, model {model_version}", recipe


def _product(snapshot: Snapshot, product: Bound) -> _Found:
    theirs, ours = snapshot.text(PLC.RECIPE_ID), product.recipe_id_wanted
    if theirs != ours:
        return False, f"{product.name} is {ours}, the PLC has {theirs}", theirs
    if product.objection:
        return False, product.objection, theirs
    return True, f"{product.name}, {ours}", theirs


def _more_refused(snapshot: Snapshot, counters: Counters) -> int:
    """Frames that the plant has refused since the last cycle, if one of them can be ours."""
    now = snapshot.number(PLC.REJECTED_COUNT)
    if not counters.frame_sent or counters.rejected_count is None or now is None:
        return 0
    return max(0, int(now) - counters.rejected_count)


def _still(state: SupervisionState, counters: Counters) -> str:
    """What was wrong before: without a frame since, nothing says that commands are accepted."""
    before = state.permissives.get(Name.COMMANDS)
    if before is None or before.good or counters.frame_sent:
        return ""
    writing = state.mode is Mode.CLOSED_LOOP and state.suspended_since is None
    return before.text if writing else ""


def _operator(state: SupervisionState, config: SupervisionConfig) -> _Found:
    who = state.pending.request if state.pending is not None else state.signature
    if who is None:
        return False, "nobody has asked", None
    problem = refusal(Action.CLOSE_LOOP, who.user, who.role, who.reason, config)
    return not problem, problem or f"{who.user} ({who.role}): {who.reason}", who.user
