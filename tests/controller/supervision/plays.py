"""The whole line in process and in closed loop, from which every play starts: one past for all.

A play goes on from a copy of that line with a fault of its own; the floor is the same line without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState, make_setup
from controller.cycle_data import initial_state as first_state
from controller.data import Mode
from controller.supervision.modes import ModeRequest
from hil.config import ScenarioConfig
from hil.faults import FaultKind, Instrument, InstrumentFault
from hil.plant import Plant
from hil.tally import Fate
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets, read_snapshot

SESSION, EPOCH, SEED = "session-1", 7, 3
CLOSED_BY_S, FROM_S = 960, 1260  # plant seconds: asked to close, plays begin


def settings(**allowed: float) -> ControllerConfig:
    """The shipped optimising controller with shorter horizons, and other allowances."""
    config = controller_config("nmpc")
    estimation = config.estimation.model_copy(update={"window_samples": 36})
    nodes = (0, 1, 2, 4, 8, 16, 32, 48)
    optimisation = config.optimisation.model_copy(update={"stages": 72, "nodes": nodes})
    ladder = config.supervision.ladder
    ladder = ladder.model_copy(update={"allowed": ladder.allowed.model_copy(update=allowed)})
    supervision = config.supervision.model_copy(update={"ladder": ladder})
    changes = {
        "estimation": estimation,
        "optimisation": optimisation,
        "supervision": supervision,
    }
    return config.model_copy(update=changes)


@dataclass
class Play:
    """A plant and its controller, cycle by cycle."""

    plant: Plant
    setup: CycleSetup
    state: CycleState
    outputs: list[CycleOutput] = field(default_factory=list)
    refusal: str = ""
    trouble: str = ""

    def cycle(self, mode: Mode | None = None, operators: tuple[object, ...] = ()) -> CycleOutput:
        """Five seconds of the line and one cycle, in which a mode and more may be asked for."""
        self.plant.advance(PERIOD)
        asked = ()
        if mode is not None:
            asked = (ModeRequest(mode=mode, user="operator", role="operator", reason="a play"),)
        inputs = CycleInputs(
            snapshot=read_snapshot(self.plant),
            requests=asked,
            operator_requests=operators,
            refusal=self.refusal,
            write_trouble=self.trouble,
            deadline_s=60.0,
        )
        out = run_cycle(inputs, self.state, self.setup, perf_counter)
        self.state, self.refusal, self.trouble = out.state, "", ""
        if out.request_control is not None:
            answer = self.plant.request_control(
                SESSION, "operator", out.request_control, out.state.epoch, "a play"
            )
            self.refusal = "" if answer == "granted" else answer
        if out.command.frame is not None:
            self.plant.write(SESSION, out.command.frame.as_writes())
        self.outputs.append(out)
        return out

    def run(self, seconds: float, each: Callable[[Play, CycleOutput], None] | None = None) -> Play:
        """Go on for ``seconds``."""
        for _ in range(round(seconds / PERIOD)):
            out = self.cycle()
            if each is not None:
                each(self, out)
        return self

    def fault(self, instrument: str, kind: str = "lost", **more: Any) -> Play:
        """Something fails now."""
        self.plant.faults.set(
            InstrumentFault(
                instrument=Instrument(instrument),
                kind=FaultKind(kind),
                start=self.plant.second,
                **more,
            )
        )
        return self

    def mended(self, instrument: str) -> Play:
        """Its faults are gone."""
        self.plant.faults.clear(Instrument(instrument))
        return self

    @property
    def ladder(self) -> Any:
        """Newest report of the loss ladder."""
        oversight = self.outputs[-1].oversight
        assert oversight is not None
        return oversight.ladder

    def modes(self) -> set[Mode]:
        """Every mode since the play began."""
        return {o.state.mode for o in self.outputs}

    def bad_released(self, since: float = FROM_S) -> int:
        """Tablets outside the specification that were released after plant second ``since``."""
        t = self.plant.tally.tablets()
        p = LINE.product
        w, s, a = p.weight_limits_mg, p.tensile_strength_limits_mpa, p.assay_limits_percent
        out = (
            (t["weight"] < w.lo * 1e-6)
            | (t["weight"] > w.hi * 1e-6)
            | (t["strength"] < s.lo * 1e6)
            | (t["strength"] > s.hi * 1e6)
            | (t["assay"] < a.lo * 1e-2)
            | (t["assay"] > a.hi * 1e-2)
        )
        return int(np.count_nonzero(out & (t["fate"] == Fate.RELEASED) & (t["second"] >= since)))

    def fates(self, since: float, until: float = np.inf) -> Mapping[str, int]:
        """Tablets by what became of them."""
        t = self.plant.tally.tablets()
        part = t["fate"][(t["second"] >= since) & (t["second"] < until)]
        return {f.name.lower(): int(np.count_nonzero(part == f)) for f in Fate}


@cache
def _scenario() -> ScenarioConfig:
    found = load_scenario(ROOT / "configs/scenarios/calm.yaml")
    assert isinstance(found, ScenarioConfig)
    return found


@cache
def _brain() -> Any:
    return make_brain(settings(), LINE, TABLE, None)


@cache
def _closed() -> tuple[Plant, CycleState]:
    """The line in closed loop at plant second `FROM_S`."""
    setup = make_setup(settings(), LINE, TABLE, _brain(), product_targets(LINE))
    plant = Plant(LINE, _scenario(), seed=SEED, start_time=START_TIME, minutes=120.0)
    play = Play(plant, setup, first_state(setup, EPOCH))
    while plant.second < FROM_S:
        mode = play.state.mode
        asked = None
        if mode is Mode.MONITORING:
            asked = Mode.ADVISORY
        elif mode is Mode.ADVISORY and plant.second >= CLOSED_BY_S:
            asked = Mode.CLOSED_LOOP if play.state.supervision.pending is None else None
        play.cycle(asked)
    assert play.state.mode is Mode.CLOSED_LOOP
    return plant, play.state


def play(config: ControllerConfig | None = None) -> Play:
    """A copy of the line in closed loop, under ``config``."""
    plant, state = _closed()
    setup = make_setup(config or settings(), LINE, TABLE, _brain(), product_targets(LINE))
    return Play(copy.deepcopy(plant), setup, state)
