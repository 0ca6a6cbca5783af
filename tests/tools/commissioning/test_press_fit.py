"""The fit against a simulated press whose gains are known, and what it says without any moves."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from plant_models.press_cell import Law, main_force
from plant_models.recording import Recording
from tests.tools.commissioning.synthetic import CELL, CELLS, TOOLING, gains, recorded
from tools.commissioning.press_events import Kind, Quiet, Steps
from tools.commissioning.press_fit import fit_press, fitted_cell
from tools.commissioning.press_fit_table import fit_tables
from tools.commissioning.press_likelihood import posterior_of, residuals
from tools.commissioning.press_priors import Reference, prior_of
from tools.commissioning.press_result import FitError, PressFit, as_data
from tools.report.press_fit_page import fit_page

LAWS: tuple[Law, ...] = ("kawakita", "heckel")
SEEDS = 20
REFERENCE = Reference(fill=6.5e-3, band=2.0e-3, force=6.2e3, rate=33.0)
QUIET = Quiet(walk={"": 1e-3}, force=20.0, row_force=80.0, pairs=100, span=420.0)


def truth(fit: PressFit, law: Law) -> dict[str, float]:
    at = fit.reference
    per_fill, per_band = gains(CELLS[law], at.fill, at.band, at.force)
    return {"dF_dfill": per_fill, "dF_dband": per_band}


@pytest.fixture(scope="module", params=LAWS)
def fitted(request: pytest.FixtureRequest) -> Iterator[tuple[Law, PressFit]]:
    law: Law = request.param
    recording = recorded(CELLS[law], 3, wait=5)
    yield law, fit_press(recording, recording.batches(), TOOLING, law)


def test_the_true_gains_lie_in_their_intervals_and_those_are_narrow(
    fitted: tuple[Law, PressFit],
) -> None:
    law, fit = fitted
    for name, value in truth(fit, law).items():
        gain = fit.gain(name)
        assert gain.lo <= value <= gain.hi
        assert gain.lo < gain.value < gain.hi
        assert (gain.hi - gain.lo) < 0.25 * abs(value)
        assert gain.identified
        assert gain.lo <= gain.used <= gain.hi  # the cell's own


def test_force_on_fill_depth_is_nowhere_near_the_gain(fitted: tuple[Law, PressFit]) -> None:
    law, fit = fitted
    true = truth(fit, law)["dF_dfill"]
    assert fit.plain.hi < 0.5 * true
    assert fit.plain.rows > 2000


def test_the_cell_takes_the_usual_force_at_the_usual_settings(
    fitted: tuple[Law, PressFit],
) -> None:
    _, fit = fitted
    at = fit.reference
    force = main_force(fit.cell, at.fill, at.band, 0.0, at.rate)
    assert force == pytest.approx(at.force, rel=1e-6)
    assert fit.cell.bulk_density * fit.cell.die_area * (
        at.fill + fit.cell.lower_cup
    ) == pytest.approx(TOOLING.weight)


def test_what_no_move_tells_is_not_identified_and_stays_where_it_was(
    fitted: tuple[Law, PressFit],
) -> None:
    _, fit = fitted
    speed = fit.estimate("speed_sensitivity")  # the speed never changed
    assert not speed.identified
    assert speed.held
    assert speed.used == pytest.approx(0.09)
    assert (speed.lo, speed.hi) == pytest.approx(speed.prior, abs=5e-3)
    assert "not identified" in {f.kind for f in fit.findings if f.channel == "speed_sensitivity"}


def test_a_correlation_matrix_and_the_information_come_with_it(
    fitted: tuple[Law, PressFit],
) -> None:
    _, fit = fitted
    assert np.diag(fit.correlation) == pytest.approx(1.0)
    assert np.all(np.abs(fit.correlation) <= 1.0 + 1e-9)
    assert fit.information[0] > 10.0 > fit.information[-1]
    assert np.all(np.diff(fit.information) <= 0.0)


def test_a_fit_is_plain_json(fitted: tuple[Law, PressFit]) -> None:
    law, fit = fitted
    data = json.loads(json.dumps(as_data(fit), allow_nan=False))
    assert data["law"] == law
    assert data["gains"]["dF_dfill"]["estimate"] == pytest.approx(fit.gain("dF_dfill").value)
    assert data["moves"]["b0"] == {
        "rows": 4 * 5 + 5 + 9 * 90,
        "bulk_density": fit.uses[0].bulk_density,
        "set by hand": 4,
        "loop waits": 8,
        "loop answers": 8,
    }


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_intervals_hold_the_truth_as_often_as_they_say(law: Law) -> None:
    """95 %: 19 of 20; fewer than 15 has a chance of 1 in 4000."""
    inside = {"dF_dfill": 0, "dF_dband": 0}
    for seed in range(SEEDS):
        recording = recorded(CELLS[law], seed, wait=5 * (seed % 2))
        fit = fit_press(recording, recording.batches(), TOOLING, law)
        for name, value in truth(fit, law).items():
            inside[name] += fit.gain(name).lo <= value <= fit.gain(name).hi
        assert fit.plain.hi < fit.gain("dF_dfill").lo
    assert min(inside.values()) >= 15


@pytest.mark.slow
def test_estimates_do_not_lean_to_one_side() -> None:
    relative = []
    for seed in range(6):
        recording = recorded(CELL, 40 + seed, batches=6)
        fit = fit_press(recording, recording.batches(), TOOLING)
        relative.append([fit.gain(n).value / v for n, v in truth(fit, "kawakita").items()])
    assert np.mean(relative, axis=0) == pytest.approx([1.0, 1.0], abs=0.04)


# Little or nothing to fit on -------------------------------------------------------------------


def bare() -> Recording:
    return recorded(CELL, 4, batches=4, settings=0, moves=0)


@pytest.mark.parametrize("law", LAWS)
def test_without_moves_nothing_is_identified_and_the_intervals_are_the_literatures(
    law: Law,
) -> None:
    fit = fit_press(bare(), bare().batches(), TOOLING, law)
    assert fit.steps.size == 0
    assert not any(e.identified for e in (*fit.gains, *fit.estimates))
    gain = fit.gain("dF_dfill")
    assert gain.hi - gain.lo > 0.8 * abs(gain.value)
    assert gain.used > 0.0
    assert [f.kind for f in fit.findings if f.severity == "warning"] == ["not fitted"]
    assert json.dumps(as_data(fit), allow_nan=False)


@pytest.mark.parametrize("batches", [(), ("b0", "b1")])
def test_tables_and_page_stand_without_moves(batches: tuple[str, ...], tmp_path: Path) -> None:
    fit = fit_press(bare(), batches, TOOLING)
    said = StringIO()
    Console(width=200, file=said).print(fit_tables(fit))
    assert "0 moves" in said.getvalue()
    assert "gains are the literature's" in said.getvalue()
    fit_page(fit, bare(), tmp_path / "fit.html")
    assert "Profiles" in (tmp_path / "fit.html").read_text("utf-8")


def test_of_a_single_batch_the_level_alone_is_taken() -> None:
    recording = recorded(CELL, 6, batches=1)
    fit = fitted_cell(recording, TOOLING)
    assert fit.batches == ()
    first = recording.channels["main_force"][6:11]  # of the first short run, and on for 10 min
    assert fit.reference.force == pytest.approx(np.median(first), rel=0.5)
    assert main_force(fit.cell, fit.reference.fill, fit.reference.band) > 0.0
    assert any("single batch" in f.text for f in fit.findings)


def test_a_fit_is_on_the_first_half_of_the_batches() -> None:
    recording = recorded(CELL, 7, batches=3, settings=3, moves=3)
    assert fitted_cell(recording, TOOLING).batches == ("b0",)


def test_a_product_that_is_not_known_is_fitted_on_assumed_tooling_and_says_so() -> None:
    recording = recorded(CELL, 8, batches=2, settings=3, moves=3)
    fit = fit_press(recording, ("b0",), replace(TOOLING, known=False))
    assert "assumed" in {f.kind for f in fit.findings}
    cups = fit.estimate("cup_height")
    assert cups.prior[1] - cups.prior[0] > 1.5e-3


def test_a_press_that_never_runs_cannot_be_fitted() -> None:
    recording = bare()
    standing = {**recording.channels, "tablet_rate": np.zeros(recording.size)}
    with pytest.raises(FitError, match=r"synthetic: no row with the press running.*mapping"):
        fitted_cell(replace(recording, channels=standing), TOOLING)


# Parts -----------------------------------------------------------------------------------------

coordinates = st.lists(st.floats(-1.5, 1.5), min_size=7, max_size=7).map(np.array)


@given(st.sampled_from(LAWS), coordinates)
def test_any_cell_of_the_prior_that_can_be_takes_the_usual_force(
    law: Law, u: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    prior = prior_of(law, TOOLING, REFERENCE)
    u = u[: len(prior.names)]
    cell, excess = prior.cell(u), prior.penalties(u)[-1]
    force = main_force(cell, REFERENCE.fill, REFERENCE.band, 0.0, REFERENCE.rate)
    assert cell.scale > 0.0
    assert cell.heckel_slope > 0.0
    if excess == 0.0:
        assert force == pytest.approx(REFERENCE.force, rel=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_moves_that_the_cell_made_leave_no_residuals(law: Law) -> None:
    prior = prior_of(law, TOOLING, REFERENCE)
    cell = prior.cell(np.zeros(len(prior.names)))
    fill = np.array([[6.5, 6.6], [6.5, 6.5], [6.5, 6.58]]) * 1e-3
    band = np.array([[2.0, 2.05], [2.0, 1.95], [2.0, 2.03]]) * 1e-3
    steps = Steps(
        kind=np.array([Kind.HAND, Kind.WAITING, Kind.ANSWER], dtype=int),
        at=np.arange(3),
        batch=("b0",) * 3,
        fill=fill,
        band=band,
        force=np.asarray(main_force(cell, fill, band)),
        rate=np.full((3, 2), REFERENCE.rate),
        rows=np.full((3, 2), 36.0),
    )
    error, gain = residuals(cell, steps, 0.0)
    assert error == pytest.approx(0.0, abs=1e-12)
    assert np.all((gain > 2.0) & (gain < 15.0))
    # Lost motion leaves up to its length over the fill depth in the loop's answers only.
    lost, _ = residuals(cell, steps, 30e-6)
    assert lost[:2] == pytest.approx(0.0, abs=1e-12)
    assert abs(lost[2]) == pytest.approx(30e-6 / 7e-3, rel=0.2)


def test_a_profile_without_data_is_the_prior() -> None:
    prior = prior_of("kawakita", TOOLING, REFERENCE)
    nobody = Steps(
        kind=np.zeros(0, dtype=int),
        at=np.zeros(0, dtype=int),
        batch=(),
        fill=np.zeros((0, 2)),
        band=np.zeros((0, 2)),
        force=np.zeros((0, 2)),
        rate=np.zeros((0, 2)),
        rows=np.zeros((0, 2)),
    )
    posterior = posterior_of(prior, nobody, QUIET, np.zeros(len(prior.names)))
    u, _ = posterior.solve(posterior.nominal)
    i = prior.names.index("speed_sensitivity")
    profile = posterior.profile(u, lambda v: float(v[i]))
    assert (profile.lo, profile.hi) == pytest.approx((-1.96, 1.96), abs=0.02)
    assert profile.rise == pytest.approx((profile.values - u[i]) ** 2, abs=0.05)
