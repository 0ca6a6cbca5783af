"""What the PLC remembers from scan to scan: frozen, in SI, and a JSON document when saved.

Floats survive a save bit for bit, because JSON carries their shortest exact representation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from hil.plc.parameters import PlcParameters
from plant_models.signals import LineState, PlcMode, RefillPhase

__all__ = [
    "Diverter",
    "DiverterState",
    "FeederState",
    "ForceState",
    "LeaseState",
    "LevelState",
    "MvState",
    "OutletFeedback",
    "Phase",
    "PlcState",
    "ProofState",
    "RejectionState",
    "SequenceState",
    "from_document",
    "initial_state",
    "to_document",
]


class Phase(StrEnum):
    """Steps of the start-up sequence."""

    FILL = "fill"
    LOW_SPEED = "low speed"
    RAMP = "ramp"
    SETTLE = "settle"


class Diverter(StrEnum):
    """Where the tablets go; on the way from one to the other they count as diverted."""

    COLLECT = "collect"
    DIVERT = "divert"
    MOVING = "moving"


@dataclass(frozen=True, slots=True, kw_only=True)
class MvState:
    """A set point: in use, where its ramp ends, whether the operator keeps it, and its clamp.

    ``clamped`` is -1 at the lower limit, +1 at the upper, 2 where a request was cut to its rate.
    """

    act: float
    target: float
    local: bool = False
    clamped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederState:
    """One feeder: refill, screw set point [rev/s], learnt feed factor [kg/rev], rates [kg/s].

    ``window_s`` counts the seconds of the running gravimetric window, negative right after the
    screw started; ``rate_sum`` adds up the rate set points in it. ``low_s`` and ``empty_s`` count
    the seconds in a row at a level that asks for a refill or is empty (a spike is neither).
    """

    feed_factor: float
    speed: float = 0.0
    rate: float = 0.0
    frozen_rate: float | None = None
    phase: RefillPhase = RefillPhase.NONE
    phase_s: int = 0
    window_s: int = 0
    rate_sum: float = 0.0
    low_s: int = 0
    empty_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """Who may command, and the watchdog over it.

    ``epoch`` keeps the last holder after a shed (``active`` is False then), so that the same
    controller may ask again; ``revoked`` never shrinks. ``accepted_hb`` is the heartbeat at the
    last accepted command, ``shed_force`` the mean force [N] before it. ``fresh`` marks that no
    command was accepted since control was granted or the line came back to running.
    """

    mode: PlcMode = PlcMode.LOCAL
    active: bool = False
    epoch: int = 0
    session: str = ""
    user: str = ""
    sequence: int = 0
    revoked: tuple[int, ...] = ()
    accepted_hb: int = 0
    accepted_count: int = 0
    shed_force: float | None = None
    shed_count: int = 0
    shed_cause: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    divert: bool = False
    fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """State of the line, seconds in it, the start-up step, and the latched interlock."""

    line: LineState = LineState.IDLE
    line_s: int = 0
    phase: Phase = Phase.FILL
    phase_s: int = 0
    interlock: str = ""
    over_cap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceState:
    """Weight-force loop: number of the revolution it last saw, and recent mean forces [N].

    ``recent`` holds one per second while the press runs, newest last.
    """

    revolution: int = 0
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelState:
    """Averaging level loop: who follows, its base, the integral [s], filtered level and feed.

    ``base`` is the follower over the line rate it follows: turret speed per filtered total feed,
    or total feed per turret speed.
    """

    follower: str = ""
    base: float = 0.0
    integral: float = 0.0
    window: tuple[float, ...] = ()
    level: float = 0.0
    feed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutletFeedback:
    """Sensors of the outlet: the diverter, and tablets the gate took out in the last second."""

    diverter: Diverter
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiverterState:
    """Diverter as fed back, where it is to go, how long the material has been good [s].

    ``late_s`` counts the seconds in which it is not where it should be.
    """

    position: Diverter = Diverter.DIVERT
    goal: Diverter = Diverter.DIVERT
    good_s: int = 0
    late_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionState:
    """Running mean of the single-tablet force [N], 0 before the first tablet.

    ``ordered`` tablets were to be taken out in the last second; ``missed`` counts the orders in a
    row that the gate did not carry out.
    """

    mean: float = 0.0
    ordered: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofState:
    """Proof that the material is the loaded product's, after another one was on the line.

    ``pressed`` [kg] since the start must reach ``required``; ``washed_at`` is the plant second in
    which it did. From then on ``potencies`` collects the newest NIR readings (share of label), the
    last of which is of second ``potency_second``; ``sample_good`` marks an at-line sample taken
    since with the right weight. ``made`` is the counter of tablets as last seen.
    """

    proven: bool = True
    required: float = 0.0
    pressed: float = 0.0
    made: int = 0
    washed_at: int | None = None
    potencies: tuple[float, ...] = ()
    potency_second: float = -1.0
    sample_good: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlcState:
    """Everything the PLC remembers. ``mvs`` is keyed by MV tag."""

    heartbeat: int
    mvs: dict[str, MvState]
    feeders: tuple[FeederState, ...]
    lease: LeaseState = LeaseState()
    sequence: SequenceState = SequenceState()
    force: ForceState = ForceState()
    level: LevelState = LevelState()
    diverter: DiverterState = DiverterState()
    rejection: RejectionState = RejectionState()
    proof: ProofState = ProofState()


def initial_state(p: PlcParameters) -> PlcState:
    """The idle line: feed and turret at their lowest, everything else at the recipe."""
    return PlcState(
        heartbeat=0,
        mvs={tag: MvState(act=limit.start, target=limit.start) for tag, limit in p.limits.items()},
        feeders=tuple(FeederState(feed_factor=f.start_feed_factor) for f in p.feeders),
    )


_ADAPTER: TypeAdapter[PlcState] = TypeAdapter(PlcState)


def to_document(state: PlcState) -> dict[str, Any]:
    """The state as plain data for JSON."""
    document: dict[str, Any] = _ADAPTER.dump_python(state, mode="json")
    return document


def from_document(document: dict[str, Any]) -> PlcState:
    """The state from plain data; raises ``ValidationError`` if it does not fit."""
    return _ADAPTER.validate_python(document)
