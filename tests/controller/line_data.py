"""A line made of simulated feeders and the twin: every reading of it, validated, and the truth."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import exp, pi

import numpy as np

from controller.data import Array, LabSample, Measurement, Validated, Verdict
from controller.estimation.estimator import LineEstimator
from controller.estimation.window import PRE_TO_MAIN
from controller.twin.core import OUTPUTS, PARAMETERS
from plant_models.config import FeederConfig
from plant_models.feeder import feed_factor, refill_overfeed
from plant_models.line import blender_parameters, feeder_parameters, nominal_flow, recipe_fractions
from plant_models.signals import MV, LineState, PlcMode, RefillPhase
from tests.controller.kit import LINE, PERIOD, START
from tests.controller.twin_data import FILL_DEPTH, FORCE, THICKNESS, TURRET, stage_inputs

__all__ = ["LAB_DELAY", "LAB_EVERY", "NIR_DELAY", "Feeder", "Line"]

NIR_DELAY, LAB_EVERY, LAB_DELAY = 2, 60, 24  # cycles
_FILLER = LINE.feeder_index("filler")


@dataclass
class Feeder:
    """A feeder at constant screw speed; one call of `cycle` is one control period.

    With a ``goal`` [rev/s] the screw goes there, from second ``late`` of the next cycle on.
    """

    config: FeederConfig
    rate: float
    seed: int = 1
    deviation: float = 0.04  # ln of the feed factor's error that the filter must find
    overfeed: float = 1.0  # of the configured surplus after a refill
    rng: np.random.Generator = field(init=False)
    out: float = 0.0  # discharged so far [kg]
    since: float = 1e9
    flow: float = 0.0  # mean of the last cycle [kg/s]
    goal: float | None = None
    late: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.p = feeder_parameters(self.config)
        self.content = self.config.hopper_kg * self.config.hopper_start_percent / 100.0
        self.speed = self.rate / float(feed_factor(self.p, self.content)) / exp(self.deviation)

    def cycle(self, pouring: bool = False, poured_s: float = 0.0) -> None:
        """Five seconds; ``poured_s`` is how long the refill has been going on."""
        c, before = self.config, self.out
        portion = (c.refill_to_percent - c.refill_from_percent) / 100.0 * c.hopper_kg
        for second in range(PERIOD):
            if pouring:
                share = min((poured_s + second) / c.refill_time_s, 1.0)
                surplus, self.since = 1.0 + self.p.overfeed * share, 0.0
            else:
                self.since += 1.0
                surplus = float(refill_overfeed(self.p, self.since))
            surplus = 1.0 + self.overfeed * (surplus - 1.0)
            noise = 1.0 + c.flow_noise_percent / 100.0 * self.rng.standard_normal()
            ff = float(feed_factor(self.p, self.content)) * exp(self.deviation)
            flow = ff * self._turned(second) * surplus * noise
            self.out += flow
            self.content += (portion / c.refill_time_s if pouring else 0.0) - flow
        self.flow, self.late = (self.out - before) / PERIOD, 0

    def _turned(self, second: int) -> float:
        """Mean speed of the screw in this second [rev/s]."""
        if self.goal is None or second < self.late:
            return self.speed
        before = self.speed
        self.speed += (self.goal - before) * (1.0 - exp(-1.0 / self.p.tau_screw))
        return 0.5 * (before + self.speed)

    def weight(self) -> float:
        """What the load cell shows [kg]."""
        return self.content + self.config.weight_noise_g * 1e-3 * self.rng.standard_normal()

    def shown_speed(self) -> float:
        """What the drive reports [rev/s]."""
        return self.speed * (1.0 + 1e-3 * self.rng.standard_normal())


@dataclass
class Line:
    """The line in steady gravimetric running; `cycle` is one control period.

    ``p`` are the true parameters of the twin, changed by tests as they like; ``noisy`` switches all
    measurement noise. ``lot`` is the filler's lot, ``share`` the newest lot's share in the feed.
    ``spoil`` maps tags to factors on what the instrument shows, ``lost`` are tags without any.
    """

    estimator: LineEstimator
    seed: int = 1
    noisy: bool = True
    start_level: float = 0.5
    p: Array = field(default_factory=lambda: np.zeros(len(PARAMETERS)))
    lot: str = "A"
    share: float = 0.0
    turret: float = TURRET
    force: float = FORCE
    spoil: dict[str, float] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    lab: bool = True
    cycles: int = 0
    truth: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(1000 + self.seed)
        self.fractions = recipe_fractions(LINE)
        self.feeders = [
            Feeder(f, nominal_flow(LINE) * share, seed=10 * self.seed + i)
            for i, (f, share) in enumerate(zip(LINE.line.feeders, self.fractions, strict=True))
        ]
        for f in self.feeders:  # full: they last for 40 min without a refill
            f.content = f.config.hopper_kg
        speed = blender_parameters(LINE).speed_0
        self.x = self.estimator.twin.steady(nominal_flow(LINE), 0.1, 0.0, speed)
        self.x[1] = self.start_level * LINE.line.chute.capacity_kg
        self.spectra: deque[float] = deque(maxlen=NIR_DELAY + 1)
        self.samples: list[LabSample] = []
        self.number = 0

    @property
    def time(self) -> float:
        """UTC [s]."""
        return START + PERIOD * self.cycles

    def cycle(self) -> Validated:
        """One control period on; what validation would hand on."""
        self.cycles += 1
        running = self.turret > 0.0
        if running:
            self._run()
        return self._seen(running)

    def _noise(self, sd: float) -> float:
        return sd * float(self.rng.standard_normal()) if self.noisy else 0.0

    def _run(self) -> None:
        for f in self.feeders:  # the gravimetric loop, ideal but for the noise of one cycle
            ff = float(feed_factor(f.p, f.content)) * exp(f.deviation)
            f.speed = f.rate / ff
            f.cycle()
        flows = [f.flow for f in self.feeders]
        cascade = self.estimator.problem.cascade
        press = self.force if cascade else FILL_DEPTH
        share = {f.role: x / sum(flows) for f, x in zip(LINE.line.feeders, flows, strict=True)}
        v = stage_inputs(
            feed=sum(flows),
            api=share["api"],
            lot=self.share,
            press=press,
            turret_speed=self.turret,
            lubricant=share["lubricant"],
        )
        out = self.estimator.one_stage(self.x, self.p[:, None], v[:, None])
        self.x = out.x[:, 0].copy()
        self.truth = dict(zip(OUTPUTS, (float(y) for y in out.y[:, 0]), strict=True))

    def _seen(self, running: bool) -> Validated:
        t, y = self.estimator.problem.tuning, self.truth
        readings: dict[str, float] = {"Line/Press/TurretSpeed/FBK": self.turret}
        for i, f in enumerate(self.feeders, start=1):
            shown = f.weight() if self.noisy else f.content
            readings[f"Line/Feeder{i}/Weight/PV"] = shown
            readings[f"Line/Feeder{i}/ScrewSpeed/PV"] = f.speed if running else 0.0
        readings["Line/Blender/Speed/FBK"] = blender_parameters(LINE).speed_0
        if running:
            off = self._noise(0.005)
            ratio = self._noise(float(t.sigma[1]))
            readings["Line/Chute/Level/PV"] = y["level"] + self._noise(float(t.sigma[0]))
            readings["Line/Press/MainForce/PV"] = exp(y["log_main_force"] + off)
            pre = y["log_pre_force"] + PRE_TO_MAIN * off + ratio
            readings["Line/Press/PreForce/PV"] = exp(pre)
            fill = y["log_fill_depth"] + self._noise(float(t.sigma[2]))
            readings[f"{MV.FILL_DEPTH}/FBK"] = (
                exp(fill) if self.estimator.problem.cascade else FILL_DEPTH
            )
            self.spectra.append(y["potency_measured"] + self._noise(float(t.sigma[3])))
            if len(self.spectra) > NIR_DELAY:
                readings["Line/FeedFrame/Potency/PV"] = self.spectra[0]
            self._take_sample()
        for tag, factor in self.spoil.items():
            readings[tag] = readings[tag] * factor
        measurements = {
            tag: Measurement(
                value=value,
                weight=0.0 if tag in self.lost else 1.0,
                verdict=Verdict.DROP if tag in self.lost else Verdict.USE,
                reason="",
                source_time=self.time,
            )
            for tag, value in readings.items()
        }
        actual = {
            MV.TOTAL_FEED: nominal_flow(LINE),
            MV.API_RATIO: 0.10,
            MV.LUBRICANT_RATIO: 0.01,
            MV.MAIN_FORCE: self.force,
            MV.FILL_DEPTH: FILL_DEPTH,
            MV.THICKNESS: THICKNESS,
            MV.TURRET_SPEED: self.turret,
            MV.BLENDER_SPEED: blender_parameters(LINE).speed_0,
        }
        due = [s for s in self.samples if s.taken + LAB_DELAY * PERIOD <= self.time]
        self.samples = [s for s in self.samples if s not in due]
        lots = tuple(self.lot if i == _FILLER else "A" for i in range(len(self.feeders)))
        return Validated(
            time=self.time,
            scan_id=self.cycles,
            heartbeat=self.cycles,
            plc_mode=PlcMode.CASCADE if self.estimator.problem.cascade else PlcMode.REMOTE,
            line_state=LineState.RUNNING if running else LineState.HELD,
            permit=True,
            lease_epoch=1,
            measurements=measurements,
            actual=actual,
            available=dict.fromkeys(actual, True),
            feeder_rates=tuple(f.rate for f in self.feeders),
            refills=(RefillPhase.NONE,) * len(self.feeders),
            lots=lots,
            samples=tuple(due),
            enough=True,
            missing=(),
        )

    def _take_sample(self) -> None:
        """Ten tablets at the end of this cycle, weighed, measured and broken."""
        if not self.lab or self.cycles % LAB_EVERY:
            return
        y, sd = self.truth, 0.0097 if self.noisy else 0.0
        spread = sd * self.rng.standard_normal(10)
        weights = np.exp(y["log_weight"] + spread)
        strengths = np.exp(y["log_strength"] + 4.74 * spread)
        thickness = np.full(10, y["thickness"]) + (1e-5 * self.rng.standard_normal(10) * self.noisy)
        forces = strengths * pi * LINE.product.diameter_mm * 1e-3 * y["thickness"] / 2.0
        forces = forces + 3.0 * self.noisy * self.rng.standard_normal(10)
        self.number += 1
        self.samples.append(
            LabSample(
                number=self.number,
                taken=self.time,
                weights=tuple(float(w) for w in weights),
                thicknesses=tuple(float(h) for h in thickness),
                forces=tuple(float(f) for f in forces),
            )
        )
