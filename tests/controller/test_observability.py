"""What the estimator can tell apart, with which instruments: the claim of being offset-free.

Claimed, because the table shows it: with load cells, level, forces and laboratory the controller
has no lasting offset in weight, potency and strength against constant deviations of bulk density,
compressibility, strength coefficient, NIR bias and the load cells' spans. Each claim stands on
instruments:

- potency on the load cells: the NIR has a bias of its own, which is told from potency only by them;
  what the load cells have wrong together stays as an offset (SD of some 0.2 % of label);
- strength on the laboratory: without it the coefficient is only as good as its prior;
- weight on laboratory and pre-compression force, with the level as a mass balance.

Not claimed: machine compliance, blender discharge and the play of the thickness drive one by one
(little or nothing tells them apart at constant set points, and nothing that is controlled needs
them apart), and a feeder that runs without its load cell: its filter says that it knows less, the
window does not hear of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from tests.controller.kit import LINE, PERIOD, controller_config
from tools.benchmarks import REGISTRY
from tools.benchmarks.observability import CASES, Case, Findings, analyse, run_observability

CONFIG = controller_config().estimation
PRIOR = CONFIG.prior_sd


@lru_cache(maxsize=16)
def _found(name: str, minutes: float = 30.0) -> Findings:
    return analyse(LINE, CONFIG, float(PERIOD), CASES[name], minutes)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"all instruments"}))
def test_an_instrument_less_never_tells_more(name: str) -> None:
    full, less = _found("all instruments"), _found(name)
    assert less.size == full.size
    assert less.rank <= full.rank
    assert less.informed <= full.informed
    for quantity, sd in full.sd.items():
        assert less.sd[quantity] >= sd * (1.0 - 1e-6)


def test_all_instruments_tell_weight_strength_and_potency() -> None:
    """And the four disturbances that move them, well below their priors."""
    sd = _found("all instruments").sd
    assert sd["tablet_weight"] < 0.25
    assert sd["tensile_strength"] < 1.5
    assert sd["potency"] < 0.3
    assert sd["specific_volume"] < 10.0 * PRIOR.specific_volume
    assert sd["pressure_scale"] < 10.0 * PRIOR.pressure_scale
    assert sd["strength"] < 10.0 * PRIOR.strength
    assert sd["potency_bias"] < 30.0 * PRIOR.potency_bias


def test_without_the_laboratory_the_strength_stays_as_known_as_before() -> None:
    """Nothing else sees strength: its SD is the prior's and what it may have walked since."""
    sd = _found("no lab").sd["strength"]
    walk = dict(CONFIG.walk)["strength"] * np.sqrt(30.0 * 60.0 / PERIOD)
    assert sd == pytest.approx(100.0 * np.hypot(PRIOR.strength, walk), rel=1e-3)
    assert _found("no lab").sd["tensile_strength"] > 5.0 * _found("all instruments").sd["strength"]


def test_without_the_spectrometer_its_bias_stays_as_known_and_potency_as_good() -> None:
    """Potency comes from the load cells; the NIR adds nothing but its bias."""
    full, less = _found("all instruments").sd, _found("no NIR").sd
    walk = dict(CONFIG.walk)["potency_bias"] * np.sqrt(30.0 * 60.0 / PERIOD)
    assert less["potency_bias"] == pytest.approx(
        100.0 * np.hypot(PRIOR.potency_bias, walk), rel=1e-3
    )
    assert less["potency"] < 1.1 * full["potency"]
    assert less["tablet_weight"] == pytest.approx(full["tablet_weight"], rel=0.02)


def test_bias_and_potency_separate_only_against_the_load_cells() -> None:
    """With load cells that may be 5 % off together, bias and potency are known as badly as that."""
    loose = CONFIG.model_copy(
        update={"prior_sd": PRIOR.model_copy(update={"load_cell_span": 0.05})}
    )
    sd = analyse(LINE, loose, float(PERIOD), CASES["all instruments"]).sd
    tight = _found("all instruments").sd
    assert sd["potency"] > 3.0 * tight["potency"]
    assert sd["potency_bias"] > 2.0 * tight["potency_bias"]


def test_without_the_level_the_weight_is_known_less() -> None:
    """The chute with the load cells is a scale: what comes in, less what the level gains."""
    full, less = _found("all instruments").sd, _found("no level").sd
    assert less["tablet_weight"] > full["tablet_weight"]
    assert less["feed_span"] > 1.2 * full["feed_span"]
    assert less["discharge"] == pytest.approx(100.0 * PRIOR.discharge, rel=1e-3)


def test_the_level_is_what_weighs_where_there_is_no_laboratory() -> None:
    """Then its loss costs several times as much."""
    lab = CASES["no lab"].missing
    neither = analyse(LINE, CONFIG, float(PERIOD), Case(missing=(*lab, "level"))).sd
    without_lab = _found("no lab").sd
    assert neither["tablet_weight"] > 1.5 * without_lab["tablet_weight"]


def test_without_pre_compression_weight_and_compressibility_are_mixed_up() -> None:
    full, less = _found("all instruments").sd, _found("no pre-compression").sd
    assert less["pressure_scale"] > 1.3 * full["pressure_scale"]
    assert less["specific_volume"] == pytest.approx(full["specific_volume"], rel=0.1)


def test_a_feeder_without_its_cell_is_known_to_its_filter_alone() -> None:
    """Its filter's uncertainty grows, the window's does not: no claim is made for that case."""
    full, less = _found("all instruments"), _found("refill")
    assert less.feed_factor_sd["Filler"] > 5.0 * full.feed_factor_sd["Filler"]
    for feeder in ("Api", "Lubricant"):
        assert less.feed_factor_sd[feeder] == pytest.approx(full.feed_factor_sd[feeder])
    assert less.sd == full.sd


def test_what_nothing_tells_stays_at_its_prior() -> None:
    """Compliance, discharge and play: known hardly better than before, whatever is installed."""
    sd = _found("all instruments").sd
    assert sd["compliance"] > 0.2 * 100.0 * PRIOR.compliance
    assert sd["discharge"] > 0.5 * 100.0 * PRIOR.discharge
    assert sd["thickness_offset"] > 0.5 * 1e6 * PRIOR.thickness_offset


def test_knowledge_grows_with_time_and_constants_never_get_lost() -> None:
    early, late = _found("all instruments", 10.0).sd, _found("all instruments").sd
    for constant in ("feed_span", "potency_span", "compliance", "discharge"):
        assert late[constant] <= early[constant] * (1.0 + 1e-6)


def test_a_better_instrument_tells_more() -> None:
    """The recursion uses the configured noise."""
    good = CONFIG.model_copy(update={"lab_strength_sd": CONFIG.lab_strength_sd / 4.0})
    sd = analyse(LINE, good, float(PERIOD), CASES["all instruments"]).sd
    assert sd["strength"] < 0.8 * _found("all instruments").sd["strength"]
    coarse = LINE.line.instruments.model_copy(update={"level_noise_percent": 10.0})
    line = replace(LINE, line=LINE.line.model_copy(update={"instruments": coarse}))
    assert (
        analyse(line, CONFIG, float(PERIOD), CASES["no lab"]).sd["feed_span"]
        > _found("no lab").sd["feed_span"]
    )


def test_the_study_prints_a_table_and_returns_plain_data() -> None:
    text = StringIO()
    console = Console(file=text, width=200)
    result = run_observability(console, seeds=(), cases={"no lab": CASES["no lab"]})
    assert "observability" in REGISTRY
    assert json.loads(json.dumps(result)) == result
    entry = result["observability"]["no_lab"]
    assert entry["size"] == 20
    assert 0 < entry["informed"] <= entry["rank"] <= entry["size"]
    assert "error" not in entry
    shown = text.getvalue()
    for word in ("no lab", "strength", "feed factor Filler", "rank"):
        assert word in shown


@pytest.mark.slow
def test_errors_on_unknown_plants_are_of_the_size_that_is_stated() -> None:
    """Two plants: weight, strength and potency within three stated SD where all is installed.

    And what the cases say holds for plants that the twin does not know: strength without the
    laboratory is as wrong as the prior, potency does not need the spectrometer.
    """
    names = ("all instruments", "no NIR", "no lab")
    result = run_observability(seeds=(31, 32), cases={n: CASES[n] for n in names})
    found = result["observability"]
    full, blind, no_lab = found["all_instruments"], found["no_NIR"], found["no_lab"]
    for quantity in ("tablet_weight", "tensile_strength", "potency"):
        assert full["error"][quantity] < 3.0 * full["sd"][quantity]
    assert blind["error"]["potency"] < full["error"]["potency"] + full["sd"]["potency"]
    assert no_lab["error"]["strength"] > full["error"]["strength"]
