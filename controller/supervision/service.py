"""Service of single variables, cycle by cycle: who is in, who is lost, and whether that is enough.

A lost manipulated variable becomes a disturbance and the plan goes on with the rest; a lost
measurement is predicted for a while, then its variable is out. Only a critical variable, or fewer
than the minimum, costs the loop. `handle_service_requests` begins a cycle, `services` follows; both
are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.config import SupervisionConfig
from controller.data import CV, Mode, Validated
from controller.supervision.service_data import (
    MEASURED_BY,
    UNITS,
    CvService,
    Limited,
    LimitRequest,
    MvService,
    ServiceReport,
    ServiceRequest,
    ServiceState,
    unit_of,
)
from controller.supervision.service_requests import handle_service_requests
from plant_models.signals import LineState, SignalTable, Snapshot

__all__ = [
    "MEASURED_BY",
    "UNITS",
    "CvService",
    "LimitRequest",
    "Limited",
    "MvService",
    "ServiceReport",
    "ServiceRequest",
    "ServiceState",
    "handle_service_requests",
    "in_service",
    "initial_services",
    "limited",
    "operator_limits",
    "services",
    "unit_of",
]

_SERVES = frozenset({MvService.ON, MvService.INIT})
_OWNERS = {
    "LOOP": (MvService.TRACK, "a loop of the PLC moves it"),
    "SEQUENCE": (MvService.TRACK, "the PLC's sequence moves it"),
    "LOCAL": (MvService.FFWD, "the operator keeps it at the PLC"),
}
_LOST = (MvService.FFWD, "the PLC does not let it be moved")


def initial_services(config: SupervisionConfig) -> ServiceState:
    """Before the first cycle: out is what the settings say."""
    return ServiceState(mv_out=frozenset(config.service.out))


def services(
    state: ServiceState,
    validated: Validated | None,
    *,
    owned: tuple[str, ...],
    mode: Mode,
    config: SupervisionConfig,
    snapshot: Snapshot | None = None,
    mvs_frozen: frozenset[str] = frozenset(),
    cvs_dropped: frozenset[str] = frozenset(),
) -> tuple[ServiceState, ServiceReport]:
    """Service of every variable in this cycle.

    Parameters
    ----------
    state
        After the requests of this cycle.
    validated
        Data of this cycle; None if nothing was read.
    owned
        MVs that the algorithm moves.
    mode
        Mode of this cycle; only in CLOSED_LOOP does an MV that is back pass through INIT.
    config
        Critical variables, minima, numbers of cycles.
    snapshot
        For the owner of a set point and the PLC's clamps; without it they are not told.
    mvs_frozen, cvs_dropped
        What the loss ladder takes away.
    """
    runs = validated is not None and validated.line_state is LineState.RUNNING
    mvs: dict[str, MvService] = {}
    texts: dict[str, str] = {}
    init: dict[str, int] = {}
    for tag in owned:
        service, why = _mv(tag, state, validated if runs else None, snapshot, mvs_frozen)
        if service is MvService.ON and mode is Mode.CLOSED_LOOP:
            left = config.service.init_cycles if tag in state.lost else state.init.get(tag, 0)
            if left:
                service, why = MvService.INIT, "back: its actual value is followed first"
                init[tag] = left - 1
        mvs[tag] = service
        if why:
            texts[tag] = why
    lost = state.lost
    if runs:
        lost = frozenset(tag for tag, s in mvs.items() if s not in _SERVES)
    unmeasured = {name: _unmeasured(name, state, validated if runs else None) for name in CV}
    cvs: dict[str, CvService] = {}
    for name in CV:
        cvs[name.value], why = _cv(name, state, unmeasured[name], cvs_dropped, config)
        if why:
            texts[name.value] = why
    held = frozenset(t for t, s in mvs.items() if _held(t, s, validated))
    after = replace(
        state, lost=lost, init=init, unmeasured={n.value: k for n, k in unmeasured.items()}
    )
    return after, ServiceReport(
        mvs=mvs,
        cvs=cvs,
        texts=texts,
        limited={} if snapshot is None else limited(snapshot, owned),
        held=held,
        lost=_not_enough(mvs, cvs, held, config, runs),
    )


def in_service(validated: Validated, report: ServiceReport) -> Validated:
    """The data with only those MVs available that are ON."""
    available = {
        tag: free and report.mvs.get(tag, MvService.ON) is MvService.ON
        for tag, free in validated.available.items()
    }
    return (
        validated if available == validated.available else replace(validated, available=available)
    )


def operator_limits(state: ServiceState, table: SignalTable) -> dict[str, tuple[float, float]]:
    """Limits that operators have set, SI, by tag; infinite where there is none."""
    limits = {}
    for tag, (lo, hi) in state.limits.items():
        signal = table[f"{tag}/ACT"]
        limits[tag] = (
            -float("inf") if lo is None else signal.to_si(lo),
            float("inf") if hi is None else signal.to_si(hi),
        )
    return limits


def limited(snapshot: Snapshot, tags: tuple[str, ...]) -> dict[str, Limited]:
    """Which way the PLC holds each of ``tags`` back, from its ``CLAMPED``."""
    found: dict[str, Limited] = {}
    for tag in tags:
        clamped = snapshot.number(f"{tag}/CLAMPED")
        if clamped == -1.0:
            found[tag] = Limited.LOW
        elif clamped == 1.0:
            found[tag] = Limited.HIGH
        elif clamped == 2.0:
            asked, actual = snapshot.number(f"{tag}/REQ"), snapshot.number(f"{tag}/ACT")
            down = asked is not None and actual is not None and asked < actual
            found[tag] = Limited.RATE_DOWN if down else Limited.RATE_UP
    return found


def _mv(
    tag: str,
    state: ServiceState,
    running: Validated | None,
    snapshot: Snapshot | None,
    frozen: frozenset[str],
) -> tuple[MvService, str]:
    """Service of one MV but for INIT; ``running`` is None while the line does not run."""
    if tag in state.mv_out:
        return MvService.OUT, "taken out by an operator"
    if unit_of(tag) in state.units_out:
        return MvService.OUT, f"{unit_of(tag)} was taken out of remote"
    if running is None:
        return MvService.TRACK, "the line does not run"
    if not running.available.get(tag, False):
        owner = None if snapshot is None else snapshot.text(f"{tag}/SRC")
        return _OWNERS.get(owner or "", _LOST)
    if tag in frozen:
        return MvService.FFWD, "held: an instrument is lost that it needs"
    return MvService.ON, ""


def _held(tag: str, service: MvService, validated: Validated | None) -> bool:
    """Whether an MV could be moved and is not, by our own decision."""
    if service is MvService.INIT:
        return True
    free = validated is not None and validated.available.get(tag, False)
    return service is MvService.FFWD and free


def _unmeasured(name: CV, state: ServiceState, running: Validated | None) -> int:
    """Cycles without a usable measurement; while the line stands nothing is counted."""
    before = state.unmeasured.get(name, 0)
    seen = None if running is None else running.measurements.get(MEASURED_BY[name])
    if seen is None:
        return before
    return 0 if seen.weight > 0.0 else before + 1


def _cv(
    name: CV,
    state: ServiceState,
    unmeasured: int,
    dropped: frozenset[str],
    config: SupervisionConfig,
) -> tuple[CvService, str]:
    if name in state.cv_out:
        return CvService.OUT, "taken out by an operator"
    if name in dropped:
        return CvService.OUT, "an instrument is lost that it needs"
    beyond = unmeasured - config.service.predicted_after_cycles
    if beyond > config.service.predicted_cycles:
        return CvService.OUT, f"not measured for {unmeasured} cycles"
    if beyond > 0:
        return CvService.PREDICTED, f"predicted: not measured for {unmeasured} cycles"
    return CvService.ON, ""


def _not_enough(
    mvs: Mapping[str, MvService],
    cvs: Mapping[str, CvService],
    held: frozenset[str],
    config: SupervisionConfig,
    runs: bool,
) -> str:
    """The critical variable or the minimum that is missing; a standing line loses no MV.

    A critical MV that is held by the ladder is not lost: whether that sheds is the ladder's say.
    """
    wanted = config.service
    present = _SERVES if runs else _SERVES | {MvService.TRACK}
    missing = [t for t in config.critical if t in mvs and mvs[t] not in present and t not in held]
    missing += [n for n in wanted.critical_variables if cvs[n] is CvService.OUT]
    if missing:
        return f"critical: {', '.join(missing)}"
    free = sum(s in present for s in mvs.values())
    if mvs and free < min(wanted.minimum_manipulated, len(mvs)):
        return f"{free} manipulated variables, needed are {wanted.minimum_manipulated}"
    controlled = sum(s is not CvService.OUT for s in cvs.values())
    if controlled < wanted.minimum_controlled:
        return f"{controlled} controlled variables, needed are {wanted.minimum_controlled}"
    return ""
