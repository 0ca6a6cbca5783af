"""What goes into a control cycle, what comes out, and what does not change between cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.advice_orders import CarryOut
from controller.alarms.watch import alarm_setup
from controller.alarms.wiring import watched_of
from controller.brain import Brain
from controller.config import ControllerConfig
from controller.data import Command, CycleRecord, Estimate, Mode, Plan, Targets
from controller.measurement.made import made_by
from controller.measurement.redundancy import PreForce
from controller.oversight import Oversight, OversightSetup, OversightState
from controller.plant_clock import PlantClock
from controller.products.sets import ProductSet, binding
from controller.products.watch import Candidate
from controller.supervision.authority import Authority
from controller.supervision.diversion import quality_limits
from controller.supervision.findings import Counters, LinkStatus
from controller.supervision.gate import Gate
from controller.supervision.modes import Answer, ModeRequest, Transition
from controller.supervision.permissives import Permissive, debounce_of
from controller.supervision.requests import Answered
from controller.supervision.supervisor import SupervisionState
from controller.targets import TargetAnswer, TargetRequest
from controller.validation import ValidationState, Validator
from plant_models.line import ResolvedLine, compaction, press_parameters
from plant_models.signals import PlcMode, SignalTable, Snapshot
from plant_models.tablet_press import compress_at_force

__all__ = [
    "CycleInputs",
    "CycleOutput",
    "CycleSetup",
    "CycleState",
    "TargetRequest",
    "initial_state",
    "make_setup",
]

_LINK_UP = LinkStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleInputs:
    """Everything that enters a cycle from outside.

    ``snapshot`` is None if nothing could be read. ``refusal`` is the plant's answer to the last
    request for control if it refused; ``write_trouble`` says what went wrong when the command of
    the cycle before was sent. ``deadline_s`` is the wall time left for solving.
    ``operator_requests`` are all others than for modes and targets; ``orders_done`` is what the PLC
    said to orders that went out after the cycle before, ``solve_ms`` the wall time that the
    algorithm took in it.
    """

    snapshot: Snapshot | None
    requests: tuple[ModeRequest, ...] = ()
    target_requests: tuple[TargetRequest, ...] = ()
    link: LinkStatus = _LINK_UP
    refusal: str = ""
    write_trouble: str = ""
    deadline_s: float = 2.0
    operator_requests: tuple[object, ...] = ()
    orders_done: tuple[str, ...] = ()
    solve_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleState:
    """All that a cycle hands to the next; picklable, never changed in place."""

    cycle: int
    time: float
    scan_id: int
    heartbeat: int | None
    epoch: int
    sequence: int
    supervision: SupervisionState
    counters: Counters
    validation: ValidationState
    brain: Any
    targets: Targets
    last_command: Command | None = None
    last_plan: Plan | None = None
    last_estimate: Estimate | None = None
    oversight: OversightState = field(default_factory=OversightState)
    plant_clock: PlantClock = field(default_factory=PlantClock)

    @property
    def mode(self) -> Mode:
        """Mode of the controller after the cycle."""
        return self.supervision.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleSetup:
    """What does not change while a controller runs."""

    config: ControllerConfig
    line: ResolvedLine
    table: SignalTable
    validator: Validator
    brain: Brain
    gate: Gate
    recipe_id: str
    model_version: str
    targets: Targets
    hashes: Mapping[str, str]
    oversight: OversightSetup
    product: ProductSet | None = None
    shadow: Candidate | None = None

    @property
    def has_estimator(self) -> bool:
        """Whether the algorithm estimates, so that its convergence is a permissive."""
        return self.config.algorithm == "nmpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleOutput:
    """Next state, the record, and the effects that the caller must carry out.

    ``orders`` are accepted advice that goes to the PLC; ``product_order`` is the hash of a product
    set that is to be loaded now, or nothing.
    """

    state: CycleState
    record: CycleRecord
    command: Command
    request_control: str | None
    answers: tuple[Answer, ...]
    target_answers: tuple[TargetAnswer, ...]
    transitions: tuple[Transition, ...]
    permissives: tuple[Permissive, ...]
    authority: Authority | None = None
    oversight: Oversight | None = None
    operator_answers: tuple[Answered, ...] = ()
    orders: tuple[CarryOut, ...] = ()
    product_order: str = ""


def make_setup(
    config: ControllerConfig,
    line: ResolvedLine,
    table: SignalTable,
    brain: Brain,
    targets: Targets,
    software_hash: str = "",
    product: ProductSet | None = None,
    known: Mapping[str, ProductSet] | None = None,
) -> CycleSetup:
    """Put together what a controller needs for its cycles.

    Parameters
    ----------
    config
        Settings.
    line
        Line that the controller knows.
    table
        Its signal list.
    brain
        Algorithm.
    targets
        Set points at the start.
    software_hash
        Hash of our own code, for the record.
    product
        Product set of the run; the plant must have loaded the same one.
    known
        Product sets that can be loaded later, by hash.
    """
    model_version = table.model_version()
    return CycleSetup(
        config=config,
        line=line,
        table=table,
        validator=Validator(table, config.validation, PlcMode(config.structure)),
        brain=brain,
        gate=Gate(
            table=table,
            owned=frozenset(brain.manipulated),
            period_s=config.period_s,
            plan_age_max_cycles=config.supervision.plan_age_max_cycles,
            debounce=debounce_of(config.supervision),
            set_point_steps=config.supervision.advice.set_point_steps,
        ),
        recipe_id=line.product.recipe_id if product is None else product.recipe_id,
        model_version=model_version,
        targets=targets,
        hashes={
            "software": software_hash,
            "models": f"{model_version}-{line.digest()}",
            "configuration": config.digest(),
            **({} if product is None else {"product_set": product.hash}),
        },
        oversight=_oversight(config, line, table, brain, product, known or {}),
        product=product,
    )


def _oversight(
    config: ControllerConfig,
    line: ResolvedLine,
    table: SignalTable,
    brain: Brain,
    product: ProductSet | None,
    known: Mapping[str, ProductSet],
) -> OversightSetup:
    owned = tuple(brain.manipulated)
    return OversightSetup(
        config=config.supervision,
        table=table,
        owned=owned,
        period_s=float(config.period_s),
        specification=quality_limits(line.product),
        label_weight=line.product.weight_mg * 1e-6,
        diameter=line.product.diameter_mm * 1e-3,
        alarms=alarm_setup(watched_of(config, line, owned)),
        pre_force=_pre_force(line),
        made=made_by(line),
        product=product,
        binding=None if product is None else binding(product),
        known=dict(known) if product is None else {product.hash: product, **known},
    )


def initial_state(setup: CycleSetup, epoch: int) -> CycleState:
    """State before the first cycle; ``epoch`` is random per start of a controller."""
    return CycleState(
        cycle=0,
        time=0.0,
        scan_id=0,
        heartbeat=None,
        epoch=epoch,
        sequence=0,
        supervision=SupervisionState(mode=Mode(setup.config.supervision.start_mode)),
        counters=Counters(),
        validation=ValidationState(),
        brain=setup.brain.initial(),
        targets=setup.targets,
        oversight=setup.oversight.initial(),
    )


def _pre_force(line: ResolvedLine) -> PreForce:
    """Pre-compression force of the tablet that takes a main force at a thickness, as configured."""
    press, powder = press_parameters(line), compaction(line.blend)

    def force(main: float, thickness: float) -> float:
        return float(compress_at_force(press, powder, main, thickness).pre_force)

    return force
