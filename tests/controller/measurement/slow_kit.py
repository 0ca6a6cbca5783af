"""A line in numbers whose instruments can read wrong, for the slow comparisons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from math import nan

import numpy as np

from controller.data import LabSample, Measurement, Validated, Verdict
from controller.measurement.made import made_by
from controller.measurement.signal_watch import Finding
from controller.measurement.slow import SlowState, observe
from controller.measurement.slow_opinion import SlowOpinion, slow_findings, slow_judged
from controller.measurement_config import MeasurementConfig
from plant_models.signals import LineState, RefillPhase
from tests.controller.kit import LINE, PERIOD
from tests.controller.measurement.kit import EJECTION, LEVEL, MAIN, NIR, PRE, Bench

MADE = made_by(LINE)
CELLS = tuple(f"Line/Feeder{i}/Weight/PV" for i in (1, 2, 3))
THICKNESS, TABLETS = "Line/Press/Thickness/FBK", "Line/Press/TabletRate/PV"
RATES = (2.0 / 3600.0, 17.8 / 3600.0, 0.2 / 3600.0)
FORCE, GAP, SAMPLE_S = 7250.0, 3.084e-3, 300.0
_NOISE = {MAIN: 0.005, PRE: 0.005, EJECTION: 0.03, NIR: 0.02, LEVEL: 0.02}


@cache
def _base() -> Validated:
    return Bench().next()


@dataclass
class SlowLine:
    """Runs steadily; each loop holds what its instrument reads.

    ``errors`` [-] by tag are how much an instrument reads high; ``material`` is by how much the
    powder's pressure scale moved, ``fed`` by how much each feed factor did; there is nothing
    ``without`` these tags.
    """

    seed: int = 1
    config: MeasurementConfig = field(default_factory=MeasurementConfig)
    errors: dict[str, float] = field(default_factory=dict)
    material: float = 0.0
    lubricated: float = 0.0
    fed: dict[int, float] = field(default_factory=dict)
    lots: tuple[str, ...] = ("A", "F", "L")
    state: LineState = LineState.RUNNING
    refills: tuple[RefillPhase, ...] = (RefillPhase.NONE,) * 3
    time: float = 0.0
    slow: SlowState = field(default_factory=SlowState)
    opinion: SlowOpinion = field(default_factory=SlowOpinion)
    contents: list[float] = field(default_factory=lambda: [3.4, 14.0, 0.7])
    added: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    level: float = 0.5
    samples: bool = True
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._draw = np.random.default_rng(self.seed)
        self._number = 0

    def _off(self, tag: str) -> float:
        return 1.0 + self.errors.get(tag, 0.0)

    def _measured(self) -> tuple[dict[str, float], float]:
        """Readings without noise, and the weight of a tablet."""
        flows = [r / self._off(c) for r, c in zip(RATES, CELLS, strict=True)]
        feed = sum(flows)
        tablet = MADE(FORCE / self._off(MAIN), GAP, feed)
        weight = tablet.weight * (1.0 - 0.15 * self.material)
        rate = feed / weight
        values = {
            MAIN: FORCE,
            PRE: tablet.pre_force * (1.0 + 0.24 * self.material) * self._off(PRE),
            EJECTION: tablet.ejection * (1.0 + self.lubricated),
            THICKNESS: GAP,
            NIR: flows[0] / feed * 10.0 * self._off(NIR),
            LEVEL: self.level * self._off(LEVEL),
            TABLETS: rate,
        }
        for i, (flow, cell) in enumerate(zip(flows, CELLS, strict=True), start=1):
            self.contents[i - 1] -= flow * PERIOD
            unit = f"Line/Feeder{i}"
            values[cell] = (self.contents[i - 1] + self.added[i - 1]) * self._off(cell)
            values[f"{unit}/MassFlow/PV"] = flow * self._off(cell)
            values[f"{unit}/ScrewSpeed/PV"] = flow / (0.01 * (1.0 + self.fed.get(i, 0.0)))
        return values, weight

    def next(self) -> dict[str, Finding]:
        """One cycle on: findings."""
        self.time += PERIOD
        values, weight = self._measured()
        draw = self._draw
        measurements = {
            tag: Measurement(
                value=v * (1.0 + _NOISE.get(tag, 0.0) * draw.standard_normal()),
                weight=1.0,
                verdict=Verdict.USE,
                reason="",
                source_time=self.time,
            )
            for tag, v in values.items()
            if tag not in self.without
        }
        found: tuple[LabSample, ...] = ()
        if self.samples and self.time % SAMPLE_S == 0.0:
            self._number += 1
            found = (self._sample(weight),)
        seen = replace(
            _base(),
            time=self.time,
            line_state=self.state,
            measurements=measurements,
            samples=found,
            lots=self.lots,
            refills=self.refills,
            feeder_rates=RATES,
        )
        share = RATES[0] / sum(RATES) if self.state is LineState.RUNNING else nan
        self.slow = observe(self.slow, seen, self.config, share, MADE)
        self.opinion = slow_judged(self.opinion, self.slow, self.config, RATES)
        return slow_findings(self.opinion, self.slow, self.config)

    def _sample(self, weight: float) -> LabSample:
        weights = tuple(weight * (1.0 + 0.01 * self._draw.standard_normal(10)))
        return LabSample(
            number=self._number,
            taken=self.time - 120.0,
            weights=weights,
            thicknesses=(3.3e-3,) * 10,
            forces=(90.0,) * 10,
        )

    def go(self, minutes: float) -> dict[str, Finding]:
        """Some minutes on; findings at their end."""
        found: dict[str, Finding] = {}
        for _ in range(round(minutes * 60.0 / PERIOD)):
            found = self.next()
        return found
