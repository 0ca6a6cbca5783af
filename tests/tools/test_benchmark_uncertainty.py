"""The comparison of plans with and without uncertainty: its scripts and its table."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from hil.config import LotChange
from tests.controller.kit import LINE, ROOT
from tools.benchmarks import REGISTRY, uncertainty
from tools.benchmarks.uncertainty import SCRIPTS, SEEDS, VARIANTS, Run, at_the_edge, summarise, wide
from tools.configuration import load_scenario

SHIFT = load_scenario(ROOT / "configs/scenarios/shift.yaml")


def test_in_the_wide_script_powder_press_and_lot_lie_twice_as_far_off() -> None:
    other = wide(SHIFT)
    for name in ("bulk_density_percent", "pressure_scale_percent", "strength_percent"):
        before, after = (getattr(s.truth.mismatch, name) for s in (SHIFT, other))
        assert (after.range, after.nominal) == (2.0 * before.range, before.nominal)
    assert other.truth.mismatch.nir_bias_percent == SHIFT.truth.mismatch.nir_bias_percent
    (lot,) = (e for e in other.events if isinstance(e, LotChange))
    assert (lot.bulk_density_percent, lot.pressure_scale_percent) == (-12.0, 40.0)
    assert [e.event for e in other.events] == [e.event for e in SHIFT.events]


def test_at_the_edge_only_the_zone_of_the_thickness_is_another() -> None:
    zone = at_the_edge(LINE).product.thickness_zone_mm
    assert zone.lo > LINE.product.thickness_zone_mm.lo
    assert zone.hi == LINE.product.thickness_zone_mm.hi
    assert at_the_edge(LINE).product.weight_mg == LINE.product.weight_mg


def test_the_seeds_are_those_of_tuning_and_every_variant_is_a_setting_of_its_own() -> None:
    assert set(SEEDS) == {11, 12, 13, 14, 15}
    assert len({tuple(v.items()) for v in VARIANTS.values()}) == len(VARIANTS)


def test_the_table_has_medians_and_values_by_script_and_variant() -> None:
    runs = [Run(variant=v, script="shift", seed=n) for n in (1, 2, 3) for v in ("a", "b")]
    found = [{"excess": float(r.seed * (1 if r.variant == "a" else 10))} for r in runs]
    table = summarise(runs, found)
    assert table["shift"]["a"]["excess"] == {"values": [1.0, 2.0, 3.0], "median": 2.0}
    assert table["shift"]["b"]["excess"]["median"] == 20.0
    text = StringIO()
    uncertainty.show(Console(file=text, width=100), table)
    assert "excess" in text.getvalue() and "20" in text.getvalue()


def test_every_script_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shift only what it is given is looked at."""
    asked: list[dict[str, Any]] = []

    def not_run(**given: Any) -> None:
        asked.append(given)
        raise InterruptedError

    monkeypatch.setattr(uncertainty, "run_shift", not_run)
    monkeypatch.setattr(uncertainty, "make_brain", lambda *_: None)
    for script in SCRIPTS:
        with pytest.raises(InterruptedError):
            uncertainty.run_one(Run(variant="back_off", script=script, seed=11))
    assert [g["scenario"].name for g in asked] == ["shift", "wide", "shift"]
    prices = [g["config"].optimisation.slack_linear for g in asked]
    assert prices[2] > prices[0] == prices[1]
    assert all(g["config"].optimisation.back_off for g in asked)


def test_it_is_one_of_the_benchmarks() -> None:
    assert "uncertainty" in REGISTRY
