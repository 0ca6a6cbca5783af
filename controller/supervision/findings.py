"""Evaluates every permissive that exists from the data of one cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.config import SupervisionConfig
from controller.data import Command, Estimate, Plan, ReachedBy, Validated
from controller.supervision.permissives import Finding, Name
from controller.supervision.supervisor import SupervisionState, objection
from plant_models.signals import PLC, LineState, Snapshot

__all__ = ["Counters", "LinkStatus", "count", "findings"]

_SINGLE = 1e-6  # a PLC may keep set points in single precision
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
) -> Counters:
    """Count this cycle's innovation test and solver outcome."""
    estimator = _streak(
        counters.estimator_passes,
        counters.estimator_fails,
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
    """
    result = [
        Finding(Name.HEARTBEAT, *_heartbeat(snapshot, validated, link, last_heartbeat, config)),
        Finding(Name.PLC_MODE, *_plc_mode(validated, structure, epoch)),
        Finding(Name.LINE_STATE, *_line_state(validated)),
        Finding(
            Name.PERMIT,
            validated is not None and validated.permit,
            "given" if validated is not None and validated.permit else "no permission of the PLC",
        ),
        Finding(Name.MEASUREMENTS, *_measurements(validated)),
    ]
    if critical:
        result.append(Finding(Name.SET_POINTS, *_set_points(validated, critical)))
    if has_estimator:
        text = f"{counters.estimator_passes} of {config.estimator_cycles} cycles"
        good = counters.estimator_fails == 0
        good = good and counters.estimator_passes >= config.estimator_cycles
        result.append(Finding(Name.ESTIMATOR, good, text))
    text = f"{counters.solver_passes} of {config.solver_cycles} cycles"
    good = counters.solver_fails == 0 and counters.solver_passes >= config.solver_cycles
    result.append(Finding(Name.SOLVER, good, text))
    result.append(Finding(Name.AGREEMENT, *_agreement(snapshot, link, model_version, recipe_id)))
    trouble = write_trouble or _rejected(snapshot, counters) or _read_back(snapshot, last_command)
    result.append(Finding(Name.COMMANDS, not trouble, trouble or "no refusal"))
    result.append(Finding(Name.OPERATOR, *_operator(state, config)))
    return result


def _heartbeat(
    snapshot: Snapshot,
    validated: Validated | None,
    link: LinkStatus,
    last: int | None,
    config: SupervisionConfig,
) -> tuple[bool, str]:
    if not link.connected:
        return False, link.note or "not connected"
    if not link.alive:
        return False, link.note or "the plant is silent"
    if validated is None or validated.heartbeat < 0:
        return False, "unreadable"
    age = snapshot.time - snapshot.values[PLC.HB].source_time
    if age > config.heartbeat_age_max_s:
        return False, f"{age:.0f} s old"
    if last is None:
        return False, "seen once"
    if validated.heartbeat <= last:
        return False, f"did not advance from {last} (is {validated.heartbeat})"
    return True, "beats"


def _plc_mode(validated: Validated | None, structure: str, epoch: int) -> tuple[bool, str]:
    if validated is None:
        return False, "unknown"
    if validated.plc_mode != structure:
        return False, f"the PLC is in {validated.plc_mode}, not {structure}"
    if validated.lease_epoch != epoch:
        return False, "another controller holds the lease"
    return True, f"{structure}, lease ours"


def _line_state(validated: Validated | None) -> tuple[bool, str]:
    if validated is None:
        return False, "unknown"
    return validated.line_state is LineState.RUNNING, str(validated.line_state)


def _measurements(validated: Validated | None) -> tuple[bool, str]:
    if validated is None:
        return False, "nothing was read"
    return validated.enough, "enough" if validated.enough else ", ".join(validated.missing)


def _agreement(
    snapshot: Snapshot, link: LinkStatus, model_version: str, recipe_id: str
) -> tuple[bool, str]:
    theirs = snapshot.text(PLC.MODEL_VERSION)
    if theirs != model_version:
        return False, f"signal list {theirs} in the plant, {model_version} here"
    recipe = snapshot.text(PLC.RECIPE_ID)
    if recipe != recipe_id:
        return False, f"recipe {recipe} in the plant, {recipe_id} here"
    if link.disagreements:
        return False, "unit or range differs: " + ", ".join(link.disagreements)
    return True, f"recipe {recipe_id}, model {model_version}"


def _rejected(snapshot: Snapshot, counters: Counters) -> str:
    """The plant refused a frame since the last cycle."""
    now = snapshot.number(PLC.REJECTED_COUNT)
    if not counters.frame_sent or counters.rejected_count is None or now is None:
        return ""
    more = int(now) - counters.rejected_count
    return f"the PLC refused {more} frame(s)" if more > 0 else ""


def _set_points(validated: Validated | None, critical: tuple[str, ...]) -> tuple[bool, str]:
    if validated is None:
        return False, "unknown"
    lost = [tag for tag in critical if not validated.available.get(tag, False)]
    return not lost, ", ".join(lost) or "available"


def _read_back(snapshot: Snapshot, last_command: Command | None) -> str:
    """A request that does not read back as it was written; unreadable ones say nothing."""
    if last_command is None or last_command.frame is None:
        return ""
    for tag, written in last_command.frame.requests.items():
        read = snapshot.number(f"{tag}/REQ")
        if read is not None and not math.isclose(read, written, rel_tol=_SINGLE, abs_tol=_SINGLE):
            return f"{tag}: {written:.6g} was written, {read:.6g} reads back"
    return ""


def _operator(state: SupervisionState, config: SupervisionConfig) -> tuple[bool, str]:
    who = state.pending.request if state.pending is not None else state.signature
    if who is None:
        return False, "nobody has asked"
    problem = objection(who.user, who.role, who.reason, config)
    return not problem, problem or f"{who.user} ({who.role}): {who.reason}"
