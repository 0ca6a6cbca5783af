"""A plant of a few lines for tests of the cycle: it answers, obeys frames and beats; no physics."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from controller.brain import Forced, Step
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import (
    CycleInputs,
    CycleOutput,
    CycleSetup,
    CycleState,
    initial_state,
    make_setup,
)
from controller.data import (
    CV,
    Estimate,
    Forecast,
    Interval,
    Mode,
    Plan,
    ReachedBy,
    Targets,
    Validated,
)
from controller.supervision.modes import ModeRequest
from plant_models.signal_list import signal_table
from plant_models.signals import (
    APC,
    BAD,
    LAB,
    MV,
    PLC,
    CommandFrame,
    DataType,
    Payload,
    SignalTable,
    Snapshot,
    Value,
)
from tools.configuration import load_controller, load_line

ROOT = Path(__file__).resolve().parent.parent.parent
EPOCH = 4242
START = 1_700_000_000.0
PERIOD = 5
OWNED = (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED)
LINE = load_line(ROOT / "configs/lines/reference.yaml")
TABLE = signal_table(LINE.line)
TARGETS = Targets(
    set_points={
        CV.POTENCY: 1.0,
        CV.TABLET_WEIGHT: 200e-6,
        CV.TENSILE_STRENGTH: 2.25e6,
        CV.THROUGHPUT: 20.0 / 3600.0,
    }
)

_READINGS: dict[str, float] = {
    "Line/Feeder1/Weight/PV": 3.5,
    "Line/Feeder2/Weight/PV": 14.0,
    "Line/Feeder3/Weight/PV": 0.7,
    "Line/Feeder1/MassFlow/PV": 2.0,
    "Line/Feeder2/MassFlow/PV": 17.8,
    "Line/Feeder3/MassFlow/PV": 0.2,
    "Line/Feeder1/MassFlow/SP": 2.0,
    "Line/Feeder2/MassFlow/SP": 17.8,
    "Line/Feeder3/MassFlow/SP": 0.2,
    "Line/Chute/Level/PV": 50.0,
    "Line/FeedFrame/Potency/PV": 100.0,
    "Line/FeedFrame/PaddleSpeed/PV": 60.0,
    "Line/Press/MainForce/PV": 7.25,
    "Line/Press/PreForce/PV": 3.27,
    "Line/Press/EjectionForce/PV": 190.0,
}


def controller_config(algorithm: str = "nmpc") -> ControllerConfig:
    """The shipped configuration of an algorithm."""
    config = load_controller(ROOT / f"configs/controllers/{algorithm}.yaml")
    assert isinstance(config, ControllerConfig)
    return config


@dataclass
class TinyPlant:
    """Values of all tags in plant units; `tick` moves time on, `take` obeys a frame."""

    table: SignalTable = TABLE
    seed: int = 1
    values: dict[str, Payload] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    stale: dict[str, float] = field(default_factory=dict)
    noisy: bool = True
    heartbeat: int = 1000

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        for s in self.table:
            if s.data_type in (DataType.DOUBLE, DataType.DATETIME):
                self.values[s.tag] = 30.0
            elif s.data_type is DataType.BOOLEAN:
                self.values[s.tag] = True
            elif s.data_type is DataType.STRING:
                self.values[s.tag] = ""
            elif s.data_type is DataType.DOUBLE_ARRAY:
                self.values[s.tag] = ()
            else:
                self.values[s.tag] = 0
        self.values.update(_READINGS)
        for m in self.table.manipulated:
            for part, value in (
                ("ACT", m.nominal),
                ("FBK", m.nominal),
                ("LO", m.lo),
                ("HI", m.hi),
                ("RATE_UP", m.rate * PERIOD),
                ("RATE_DN", m.rate * PERIOD),
            ):
                self.values[f"{m.tag}/{part}"] = value
        for i in (1, 2, 3):
            self.values[f"Line/Feeder{i}/Refill/PV"] = "none"
            self.values[f"Line/Feeder{i}/Lot/PV"] = "A"
        self.values |= {
            PLC.MODE_ACT: "LOCAL",
            PLC.LINE_STATE: "running",
            PLC.RECIPE_ID: LINE.product.recipe_id,
            PLC.MODEL_VERSION: self.table.model_version(),
            APC.EPOCH: 0,
        }

    def grant(self, mode: str = "CASCADE", epoch: int = EPOCH) -> None:
        """Grant the lease."""
        self.values[PLC.MODE_ACT] = mode
        self.values[APC.EPOCH] = epoch

    def take(self, frame: CommandFrame | None) -> None:
        """Obey a frame at once."""
        for tag, value in ({} if frame is None else frame.requests).items():
            self.values[f"{tag}/REQ"] = value
            self.values[f"{tag}/ACT"] = value
            self.values[f"{tag}/FBK"] = value

    def tick(self, seconds: int = PERIOD) -> None:
        """Let plant time pass."""
        self.heartbeat += seconds

    @property
    def time(self) -> float:
        """Plant time."""
        return START + self.heartbeat

    def snapshot(self) -> Snapshot:
        """One batched read."""
        now, values = self.time, {}
        for s in self.table:
            if not s.read_every_cycle:
                continue
            value = self.values[s.tag]
            if self.noisy and isinstance(value, float) and s.tag.endswith(("/PV", "/FBK")):
                value *= 1.0 + 1e-4 * self._random.gauss(0.0, 1.0)
            source = now - self.stale.get(s.tag, 0.0)
            values[s.tag] = Value(value, self.status.get(s.tag, 0), source)
        values[PLC.HB] = Value(self.heartbeat, 0, now)
        values[PLC.TIME] = Value(now, 0, now)
        return Snapshot(time=now, scan_id=self.heartbeat, values=values)

    def lab(self, number: int, taken: float, weights: tuple[float, ...]) -> None:
        """Publish a sample."""
        self.values |= {
            LAB.ID: number,
            LAB.TAKEN: taken,
            LAB.WEIGHT: weights,
            LAB.THICKNESS: (3.32,) * len(weights),
            LAB.FORCE: (94.0,) * len(weights),
        }


@dataclass(frozen=True)
class FilterBrain:
    """A deterministic algorithm: filters the main force and moves set points towards a wish.

    Its plan depends on the number of steps taken, as that of a solver under a deadline does.
    """

    name: str = "filter"
    manipulated: tuple[str, ...] = OWNED
    wish: Mapping[str, float] = field(default_factory=dict)
    steps: Callable[[float], int] = lambda deadline_s: 1 if deadline_s < 1.0 else 3
    reached_by: ReachedBy = ReachedBy.FAST
    converged: bool = True

    def initial(self) -> np.ndarray:
        return np.zeros(2)

    def prepare(self, state: np.ndarray) -> None:
        """Nothing to work ahead."""

    def step(
        self,
        state: np.ndarray,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        force = validated.measurements["Line/Press/MainForce/PV"]
        gain = 0.3 * force.weight
        seen = 0.0 if force.weight == 0.0 else force.value
        new = np.array([state[0] + gain * (seen - state[0]), state[1] + 1.0])
        steps = self.steps(deadline_s) if forced is None else forced.optimiser_steps
        taken = Forced(estimator_steps=1, optimiser_steps=steps, reached_by=self.reached_by)
        factor = 1.0 + 1e-6 * np.sin(new[0] + new[1]) / steps
        moves = {
            tag: np.array([self.wish.get(tag, validated.actual[tag] * factor)] * 3)
            for tag in self.manipulated
        }
        estimate = Estimate(
            time=validated.time,
            names=("force", "count"),
            mean=new,
            covariance=np.eye(2) / (1.0 + new[1]),
            quality={CV.TABLET_WEIGHT: Interval(200e-6, 1e-6)},
            converged=self.converged,
            normalised_innovation=float(new[0] % 1.0),
        )
        times = np.array([0.0, 5.0, 10.0])
        forecast = Forecast(times=times, series={"force": (times, times + new[0], times * 0.1)})
        plan = Plan(
            time=validated.time,
            times=times,
            moves=moves,
            reached_by=taken.reached_by,
            steps=steps,
            solver_verdicts=("ok",) * steps,
            cost=float(new[0]),
        )
        wanted = mode in (Mode.ADVISORY, Mode.CLOSED_LOOP)
        return Step(
            state=new,
            estimate=estimate,
            forecast=forecast,
            plan=plan if wanted else None,
            taken=taken,
        )


def ask(mode: Mode, *, user: str = "ada", role: str = "operator") -> ModeRequest:
    """An operator's request."""
    return ModeRequest(mode=mode, user=user, role=role, reason="test of the loop")


@dataclass
class Loop:
    """The cycle around a `TinyPlant`: what a runtime does, without a network."""

    plant: TinyPlant = field(default_factory=TinyPlant)
    brain: FilterBrain = field(default_factory=FilterBrain)
    config: ControllerConfig = field(default_factory=controller_config)
    grants: bool = True
    outputs: list[CycleOutput] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.setup: CycleSetup = make_setup(
            self.config, LINE, self.plant.table, self.brain, TARGETS
        )
        self.state: CycleState = initial_state(self.setup, EPOCH)

    def cycle(self, *requests: Mode | ModeRequest, **changes: object) -> CycleOutput:
        """One control period: the plant moves on, the cycle runs, its effects are carried out."""
        self.plant.tick()
        inputs = CycleInputs(
            snapshot=self.plant.snapshot(),
            requests=tuple(ask(r) if isinstance(r, Mode) else r for r in requests),
        )
        output = run_cycle(replace(inputs, **changes), self.state, self.setup, lambda: 0.0)
        self.state = output.state
        self.outputs.append(output)
        self.plant.take(output.command.frame)
        if output.request_control is not None and self.grants:
            self.plant.grant(output.request_control)
        return output

    def cycles(self, number: int) -> CycleOutput:
        """Several control periods without any request."""
        for _ in range(number):
            output = self.cycle()
        return output

    def close(self) -> CycleOutput:
        """Up to the first cycle in closed loop."""
        if self.state.mode is Mode.MONITORING:
            self.cycle(Mode.ADVISORY)
        self.cycles(15)
        self.cycle(Mode.CLOSED_LOOP)
        output = self.cycle()
        assert output.state.mode is Mode.CLOSED_LOOP, output.command.reasons
        return output


def bad(plant: TinyPlant, tag: str) -> None:
    """Give a tag a bad status."""
    plant.status[tag] = BAD
