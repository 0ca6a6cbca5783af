"""A shift in process with steps of the strength's set point, and what it left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controller.algorithms import make_brain
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, TargetRequest, initial_state, make_setup
from controller.data import CV, Array, Mode
from controller.supervision.modes import ModeRequest
from hil.config import ScenarioConfig
from hil.plant import Plant
from plant_models.signals import MV
from plant_models.units import to_si
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets, read_snapshot

__all__ = ["Shift", "run_steps"]

START_UP_S, SESSION = 900, "test"


@dataclass(frozen=True)
class Shift:
    """What a run left, from the first cycle in closed loop on.

    ``weight`` [kg] and ``strength`` [Pa] of the tablets of each plant second; set points per cycle
    of ``force`` [N], ``thickness`` [m] and ``target`` [Pa], ``fill`` depth [m] as the PLC sets it;
    ``modes`` per cycle; ``answers`` to the requests.
    """

    weight: Array
    strength: Array
    force: Array
    thickness: Array
    fill: Array
    target: Array
    modes: tuple[Mode, ...]
    answers: tuple[str, ...]

    def weight_error(self, after_s: float) -> Array:
        """Deviation of the 60 s moving mean of the weight from 200 mg, from ``after_s`` on."""
        mean = np.convolve(self.weight, np.ones(60) / 60.0, mode="valid")
        return np.asarray(mean[max(int(after_s) - 59, 0) :] / 200e-6 - 1.0)


def run_steps(
    minutes: float,
    steps: Mapping[float, float],
    seed: int,
    scenario: str = "steady",
    algorithm: str = "nmpc",
) -> Shift:
    """Run ``minutes`` of closed loop after start-up; no event but the steps.

    ``steps`` maps minutes of closed loop to set points of the tensile strength [MPa]. With the
    algorithm ``plc`` the PLC's loops run alone for the same time.
    """
    config = controller_config(algorithm)
    cache = Path(os.environ["TWINLINE_HOME"]) / "cache"
    setup = make_setup(
        config, LINE, TABLE, make_brain(config, LINE, TABLE, cache), product_targets(LINE)
    )
    script = load_scenario(ROOT / "configs/scenarios" / f"{scenario}.yaml")
    assert isinstance(script, ScenarioConfig)
    script = script.model_copy(update={"events": (), "minutes": minutes + 5.0})
    plant = Plant(LINE, script, seed=seed, start_time=START_TIME, run_dir=None)
    state, due = initial_state(setup, epoch=7), dict(sorted(steps.items()))
    closed_at: int | None = None
    rows: list[tuple[float, ...]] = []
    modes, answers = [], []
    while closed_at is None or plant.second < closed_at + 60.0 * minutes:
        plant.advance(PERIOD)
        orders = []
        while due and closed_at is not None and plant.second >= closed_at + 60.0 * min(due):
            value = 1e6 * due.pop(min(due))
            orders.append(
                TargetRequest(
                    variable=CV.TENSILE_STRENGTH.value,
                    value=value,
                    user="ada",
                    role="operator",
                    reason="step",
                )
            )
        out = run_cycle(
            CycleInputs(
                snapshot=read_snapshot(plant),
                requests=() if algorithm == "plc" else _requests(state.mode, plant.second),
                target_requests=tuple(orders),
                deadline_s=60.0,
            ),
            state,
            setup,
            lambda: 0.0,
        )
        state = out.state
        answers += [a.text for a in out.target_answers]
        if out.request_control is not None:
            plant.request_control(SESSION, "ada", out.request_control, state.epoch, "test")
        if out.command.frame is not None:
            plant.write(SESSION, out.command.frame.as_writes())
        alone = algorithm == "plc" and plant.second >= START_UP_S + PERIOD
        if closed_at is None and (alone or state.mode is Mode.CLOSED_LOOP):
            closed_at = plant.second
        assert closed_at is not None or plant.second < START_UP_S + 600, "the loop never closed"
        if closed_at is not None:
            values = plant.values()
            tags = (f"{MV.MAIN_FORCE}/ACT", f"{MV.THICKNESS}/ACT", f"{MV.FILL_DEPTH}/ACT")
            units = (TABLE.mv(t.rsplit("/", 1)[0]).unit for t in tags)
            row = [to_si(float(str(values[t].value)), u) for t, u in zip(tags, units, strict=True)]
            rows.append((*row, state.targets.set_points[CV.TENSILE_STRENGTH]))
            modes.append(state.mode)
    seconds = plant.tally.seconds()
    seconds = seconds[seconds["second"] >= closed_at]
    force, thickness, fill, target = np.array(rows).T
    return Shift(
        weight=np.asarray(seconds["weight"]),
        strength=np.asarray(seconds["strength"]),
        force=force,
        thickness=thickness,
        fill=fill,
        target=target,
        modes=tuple(modes),
        answers=tuple(answers),
    )


def _requests(mode: Mode, second: int) -> tuple[ModeRequest, ...]:
    if mode is Mode.MONITORING:
        wanted = Mode.ADVISORY
    elif mode is Mode.ADVISORY and second >= START_UP_S:
        wanted = Mode.CLOSED_LOOP
    else:
        return ()
    return (ModeRequest(mode=wanted, user="ada", role="operator", reason="test of the loop"),)
