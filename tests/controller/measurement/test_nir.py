"""NIR: fouling, a real change and a wrong load cell are told apart; so are two forces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log

import numpy as np
import pytest

from controller.data import Measurement, Validated, Verdict
from controller.measurement.ne107 import Defect
from controller.measurement.nir import NirVerdict, Spectrum, judge_nir
from controller.measurement.redundancy import Comparison, Residuals, compare, follow
from controller.measurement.second_opinion import deviations, opinions
from controller.measurement_config import MeasurementConfig, RedundancyConfig
from tests.controller.measurement.kit import EJECTION, FILLER, LEVEL, MAIN, NIR, PRE, Bench

LIMIT = 0.02
CLEAN = Spectrum(intensity=0.97, residual=0.4)
TABLETS, FEED = "Line/Press/TabletRate/PV", "Line/Formulation/TotalFeed/FBK"


@pytest.mark.parametrize(
    ("shift", "more", "verdict"),
    [
        (0.005, {}, NirVerdict.CLEAN),
        (0.005, {"feed_moved": 0.05}, NirVerdict.POTENCY),
        (-0.05, {}, NirVerdict.FOULED),
        (0.05, {}, NirVerdict.FOULED),
        (-0.05, {"feed_moved": 0.05}, NirVerdict.FOULED),
        (-0.05, {"api_factor": 0.05}, NirVerdict.LOAD_CELL),
        (0.05, {"api_factor": 0.05}, NirVerdict.FOULED),
        (0.045, {"filler_factor": 0.05}, NirVerdict.LOAD_CELL),
        (-0.045, {"filler_factor": 0.05}, NirVerdict.FOULED),
        (-0.05, {"api_factor": 0.01}, NirVerdict.FOULED),
        (-0.05, {"spectrum": CLEAN}, NirVerdict.POTENCY),
        (0.0, {"spectrum": CLEAN}, NirVerdict.CLEAN),
        (0.0, {"spectrum": Spectrum(intensity=0.6, residual=0.5)}, NirVerdict.FOULED),
        (-0.05, {"spectrum": Spectrum(intensity=0.95, residual=3.0)}, NirVerdict.FOULED),
    ],
)
def test_a_shift_is_judged_by_feeders_feed_factors_and_spectra(
    shift: float, more: dict[str, object], verdict: NirVerdict
) -> None:
    judged = judge_nir(shift, LIMIT, **more)  # type: ignore[arg-type]
    assert judged.verdict is verdict
    assert bool(judged.text) is (verdict is not NirVerdict.CLEAN)


@dataclass
class Powder:
    """A line in steady running, of which a test moves single things; noise as on data sheets."""

    seed: int = 1
    config: MeasurementConfig = field(default_factory=MeasurementConfig)
    values: dict[str, float] = field(default_factory=dict)
    residuals: Residuals = field(default_factory=Residuals)

    def __post_init__(self) -> None:
        self._draw = np.random.default_rng(self.seed)
        self._base = Bench().next()
        self.time = 0.0
        self.values = {
            tag: m.value for tag, m in self._base.measurements.items() if m.weight > 0.0
        } | {TABLETS: 20.0 / 3600.0 / 200e-6, LEVEL: 0.5}
        self.noise = {NIR: 0.02, MAIN: 0.005, PRE: 0.005, EJECTION: 0.03}

    def seen(self) -> Validated:
        measurements = {
            tag: Measurement(
                value=v * (1.0 + self.noise.get(tag, 0.002) * self._draw.standard_normal()),
                weight=1.0,
                verdict=Verdict.USE,
                reason="",
                source_time=self.time,
            )
            for tag, v in self.values.items()
        }
        return replace(self._base, measurements=measurements, time=self.time)

    def go(self, seconds: float, distrusted: frozenset[str] = frozenset()) -> Powder:
        for _ in range(round(seconds / 5.0)):
            self.time += 5.0
            self.residuals = follow(self.residuals, self.seen(), self.config, distrusted)
        return self

    def found(self) -> dict[str, Defect]:
        return {tag: f.defect for tag, f in opinions(self.residuals, self.config).items()}


def test_nothing_is_found_in_a_steady_line_over_eight_hours() -> None:
    powder = Powder()
    for _ in range(48):
        powder.go(600.0)
        assert powder.found() == {}


def test_a_window_that_fouls_is_reported_and_in_the_end_given_up() -> None:
    powder = Powder().go(900.0)
    seen = []
    for k in range(60):
        powder.values[NIR] = 1.0 - 0.002 * k
        powder.go(60.0)
        seen.append(powder.found().get(NIR, Defect.NONE))
    order = list(dict.fromkeys(seen))
    assert order == [Defect.NONE, Defect.DRIFT, Defect.BIAS, Defect.FOULED]
    assert "fouling" in opinions(powder.residuals, powder.config)[NIR].text
    assert opinions(powder.residuals, powder.config)[NIR].share == 0.0


def test_a_real_change_of_the_ratio_is_no_fouling() -> None:
    powder = Powder().go(900.0)
    for k in range(40):
        step = 1.0 + 0.08 * min(k / 10.0, 1.0)
        powder.values["Line/Feeder1/MassFlow/PV"] = 2.0 / 3600.0 * step
        powder.go(30.0)
        if k > 8:  # as much later as the powder needs
            late = 1.0 + 0.08 * min((k - 6) / 10.0, 1.0)
            powder.values[NIR] = 10.0 * late / (9.0 + late)
    powder.go(600.0)
    assert NIR not in powder.found()


def test_a_wrong_load_cell_is_not_taken_for_fouling() -> None:
    """The API cell reads 10 % high: its loop feeds less, the NIR falls, the flow looks right."""
    powder = Powder().go(900.0)
    powder.values["Line/Feeder1/ScrewSpeed/PV"] *= 0.9
    powder.values[NIR] = 0.91
    powder.go(300.0)
    finding = opinions(powder.residuals, powder.config)[NIR]
    assert finding.share == 1.0
    assert "feed factor of the API feeder" in finding.text


@pytest.mark.parametrize(("off", "blamed", "other"), [(1.1, MAIN, PRE), (0.9, MAIN, PRE)])
def test_a_wrong_main_force_moves_the_others(off: float, blamed: str, other: str) -> None:
    """Its loop holds what it reads, so that all true forces move the other way."""
    powder = Powder().go(600.0)
    powder.values[PRE] *= (1.0 / off) ** 0.76
    powder.values[EJECTION] /= off
    powder.go(60.0)
    found = opinions(powder.residuals, powder.config)
    assert found[blamed].share == 0.0
    assert other not in found


def test_a_wrong_pre_compression_force_moves_alone() -> None:
    powder = Powder().go(600.0)
    powder.values[PRE] *= 1.2
    powder.go(60.0)
    found = opinions(powder.residuals, powder.config)
    assert found[PRE].share == 0.0
    assert MAIN not in found


def test_who_is_distrusted_already_takes_the_blame() -> None:
    powder = Powder().go(600.0)
    powder.values[PRE] *= 1.2
    powder.go(60.0)
    assert MAIN in opinions(powder.residuals, powder.config, frozenset({MAIN}))


def test_powder_that_does_not_become_tablets_is_out_of_specification() -> None:
    powder = Powder()
    powder.residuals = replace(powder.residuals, tablet=200e-6)
    powder.go(1500.0)
    assert powder.found() == {}
    for i in (1, 2, 3):
        powder.values[f"Line/Feeder{i}/MassFlow/PV"] *= 1.08
    powder.go(2400.0)
    assert powder.found()[FEED] is Defect.BIAS


def test_a_flow_that_its_feed_factor_contradicts_needs_maintenance() -> None:
    powder = Powder().go(600.0)
    powder.values["Line/Feeder2/MassFlow/PV"] *= 1.2
    powder.go(200.0)
    assert powder.found()[FILLER] in (Defect.DRIFT, Defect.BIAS)


def test_deviations_are_those_of_what_could_be_read() -> None:
    powder = Powder().go(600.0)
    powder.values[PRE] *= 1.05
    powder.go(5.0)
    seen = powder.seen()
    found = deviations(powder.residuals, seen, {LEVEL: (0.4, 0.01)})
    assert found[PRE] == pytest.approx(log(1.05), abs=0.03)
    assert found[MAIN] == pytest.approx(-log(1.05) / 0.76, abs=0.04)
    assert found[LEVEL] == pytest.approx(0.25, abs=0.02)
    blind = dict(seen.measurements)
    blind[MAIN] = replace(blind[MAIN], weight=0.0)
    found = deviations(powder.residuals, replace(seen, measurements=blind), {})
    assert not {MAIN, PRE} & set(found)


def test_without_a_twin_the_mass_balance_keeps_the_level() -> None:
    powder = Powder()
    powder.residuals = replace(powder.residuals, tablet=200e-6)
    powder.go(600.0)
    distrusted = frozenset({LEVEL})
    powder.values[LEVEL] = 0.9  # a level that is lost, and comes back wrong
    powder.go(300.0, distrusted)
    assert deviations(powder.residuals, powder.seen(), {})[LEVEL] > 0.5
    powder.values[LEVEL] = 0.5
    powder.go(300.0, distrusted)
    assert abs(deviations(powder.residuals, powder.seen(), {})[LEVEL]) < 0.2
    powder.values["Line/Feeder2/MassFlow/PV"] *= 1.1  # more powder than tablets: it rises
    before = powder.residuals.kept
    powder.go(120.0, distrusted)
    assert powder.residuals.kept > before + 0.03


def test_what_is_not_believed_teaches_nothing() -> None:
    config = RedundancyConfig(drift_percent=2.0, bias_percent=4.0, lost_percent=8.0, learn_s=50.0)
    c = Comparison()
    for _ in range(20):
        c = compare(c, 0.0, 5.0, config, learn=True)
    for _ in range(200):
        c = compare(c, 0.05, 5.0, config, learn=False)
    assert c.reference == 0.0
    assert c.shift == pytest.approx(0.05, abs=1e-3)
    assert compare(Comparison(), 0.05, 5.0, config, learn=False) is not None
    assert compare(Comparison(), 0.05, 5.0, config, learn=False).learnt == 0.0


def test_limits_that_do_not_grow_are_refused() -> None:
    with pytest.raises(ValueError, match="must grow in this order"):
        RedundancyConfig(drift_percent=4.0, bias_percent=2.0, lost_percent=8.0)


def test_what_hovers_at_its_limit_does_not_chatter() -> None:
    powder, before, changes = Powder().go(900.0), False, 0
    state = frozenset[str]()
    for k in range(200):
        powder.values[NIR] = 1.0 + 0.0205 * min(k / 40.0, 1.0)
        powder.go(60.0)
        state = frozenset(opinions(powder.residuals, powder.config, found_before=state))
        changes += (NIR in state) is not before
        before = NIR in state
    assert before
    assert changes == 1
