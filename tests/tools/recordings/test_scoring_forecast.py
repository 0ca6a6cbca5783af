"""The score of a forecast: figures by hand, goals at their limits, and keys that machines read."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from plant_models.recording import Recording
from tests.helpers.pressed import held_press
from tools.recordings.all_opponents import ARX, EWMA, PERSISTENCE, Opponents, build_opponents
from tools.recordings.origins import SUBSETS
from tools.recordings.score_table import print_score
from tools.recordings.scoring import FORECAST, RecordingScore, score_forecast

FITTED = ("B0", "B1")


@pytest.fixture(scope="module")
def press() -> Recording:
    return held_press(11, 4)


@pytest.fixture(scope="module")
def opponents(press: Recording) -> Opponents:
    return build_opponents(press, FITTED)


def _like(opponents: Opponents, name: str, scale: float = 1.0) -> np.ndarray:
    """A forecast that misses ``scale`` times as much as an opponent [kN]."""
    truth = opponents.origins.truth()
    return (truth + scale * (opponents.forecasts[name] - truth)) / 1e3


def _score(press: Recording, opponents: Opponents, forecast: np.ndarray) -> RecordingScore:
    return score_forecast(press, forecast, np.full(press.size, 0.12), FITTED, opponents)


def test_figures_are_those_of_the_scored_origins_of_later_batches(
    press: Recording, opponents: Opponents
) -> None:
    rng = np.random.default_rng(1)
    forecast = 6.0 + 0.2 * rng.standard_normal(press.size)
    score = _score(press, opponents, forecast)
    o, force = opponents.origins, press.channels["main_force"] / 1e3
    names = np.array(press.batch)

    def expect(rows: np.ndarray, name: str) -> None:
        rows = np.flatnonzero(rows & np.isin(names, ("B2", "B3")))
        error = force[rows + 6] - forecast[rows]
        last = force[rows + 6] - force[rows]
        part = score.parts.get(name) or next(p for p in score.batches if p.name == name)
        assert part.count == rows.size > 30
        assert part.rmse[FORECAST] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert part.rmse[PERSISTENCE] == pytest.approx(np.sqrt(np.mean(last**2)))
        assert part.coverage == pytest.approx(np.mean(np.abs(error) <= 0.12))
        assert part.half_width == pytest.approx(0.12)

    expect(o.scored, "scored")
    expect(o.all, "all")
    expect(o.restart, "restart")
    expect(o.scored & o.subsets["thickness"], "thickness")
    expect(o.scored & o.subsets["fill"], "fill")
    expect(o.scored & (names == "B3"), "B3")
    assert [p.name for p in score.batches] == ["B2", "B3"]


def test_fitted_batches_are_never_scored(press: Recording, opponents: Opponents) -> None:
    forecast = _like(opponents, EWMA)
    spoiled = np.where(np.isin(press.batch, FITTED), 99.0, forecast)
    one, two = (_score(press, opponents, f) for f in (forecast, spoiled))
    assert one.as_json() == two.as_json()


def test_a_forecast_like_the_weighted_mean_is_within_noise_of_it(
    press: Recording, opponents: Opponents
) -> None:
    rng = np.random.default_rng(2)
    forecast = _like(opponents, EWMA) + 0.001 * rng.standard_normal(press.size)
    part = _score(press, opponents, forecast).parts["scored"]
    lo, hi = part.ratio_range
    assert lo < 1.0 < hi
    assert hi - lo < 0.01
    worse = _score(press, opponents, _like(opponents, PERSISTENCE)).parts["scored"]
    assert 1.0 < worse.ratio_range[0] < worse.ratio < worse.ratio_range[1]


def test_the_range_of_the_ratio_is_that_of_blocks_of_ten_minutes(
    press: Recording, opponents: Opponents
) -> None:
    """Beside the standard error of a ratio of sums over blocks, by linearisation."""
    forecast = _like(opponents, PERSISTENCE)
    part = _score(press, opponents, forecast).parts["scored"]
    rows = np.flatnonzero(opponents.origins.scored & opponents.later)
    truth = opponents.origins.truth()[rows]
    ours = (truth - 1e3 * forecast[rows]) ** 2
    mean = (truth - opponents.forecasts[EWMA][rows]) ** 2
    blocks = [(press.batch[k], (press.time[k] - press.time[0]) // 600.0) for k in rows]
    sums = {block: [0.0, 0.0] for block in blocks}
    for block, a, b in zip(blocks, ours, mean, strict=True):
        sums[block][0] += a
        sums[block][1] += b
    a, b = np.array(list(sums.values())).T
    square = a.sum() / b.sum()
    error = np.sqrt(np.sum((a - square * b) ** 2)) / b.sum() / (2.0 * np.sqrt(square))
    lo, hi = part.ratio_range
    assert (hi - lo) / (2.0 * 1.96) == pytest.approx(error, rel=0.12)


def _verdicts(score: RecordingScore) -> dict[str, bool | None]:
    return {goal.name: goal.met for goal in score.goals}


@pytest.mark.parametrize(("scale", "met"), [(0.999, True), (1.009, True), (1.011, False)])
def test_one_percent_over_the_weighted_mean_is_allowed(
    press: Recording, opponents: Opponents, scale: float, met: bool
) -> None:
    score = _score(press, opponents, _like(opponents, EWMA, scale))
    assert _verdicts(score)["RMSE over the weighted mean's"] is met
    assert score.parts["scored"].ratio == pytest.approx(scale)
    assert _verdicts(score)[f"the same where {SUBSETS['fill']}"] is (scale < 1.0)


def _with_arx(opponents: Opponents, below_persistence: float) -> Opponents:
    """The same with an ARX whose error is a share of persistence's."""
    ahead = 1e3 * _like(opponents, PERSISTENCE, 1.0 - below_persistence)
    return replace(opponents, forecasts={**opponents.forecasts, ARX: ahead})


@pytest.mark.parametrize(("below", "met"), [(0.251, True), (0.249, False)])
def test_a_quarter_below_persistence_where_the_arx_permits_it(
    press: Recording, opponents: Opponents, below: float, met: bool
) -> None:
    rivals = _with_arx(opponents, 0.3)
    score = _score(press, rivals, _like(opponents, PERSISTENCE, 1.0 - below))
    assert _verdicts(score)["share below persistence"] is met


@pytest.mark.parametrize(("share", "met"), [(0.81, True), (0.79, False)])
def test_else_four_fifths_of_the_way_to_the_arx(
    press: Recording, opponents: Opponents, share: float, met: bool
) -> None:
    truth = opponents.origins.truth()
    mean = opponents.forecasts[EWMA]
    last = opponents.forecasts[PERSISTENCE]
    poor = {
        PERSISTENCE: truth + 1.1 * (mean - truth),
        EWMA: mean,
        ARX: truth + 0.9 * (mean - truth),
    }
    rivals = replace(opponents, forecasts={**opponents.forecasts, **poor})
    assert np.isfinite(last[opponents.origins.scored]).all()
    score = _score(press, rivals, _like(opponents, EWMA, 1.0 - 0.1 * share))
    assert _verdicts(score)["share of the way from weighted mean to ARX"] is met


def test_an_arx_that_is_no_better_than_the_mean_sets_no_goal(
    press: Recording, opponents: Opponents
) -> None:
    truth, mean = opponents.origins.truth(), opponents.forecasts[EWMA]
    poor = {PERSISTENCE: truth + 1.1 * (mean - truth), ARX: truth + 1.05 * (mean - truth)}
    rivals = replace(opponents, forecasts={**opponents.forecasts, **poor})
    score = _score(press, rivals, _like(opponents, EWMA))
    assert _verdicts(score)["share of the way from weighted mean to ARX"] is None


@pytest.mark.parametrize(("quantile", "met"), [(0.95, True), (0.90, False), (0.99, False)])
def test_coverage_is_met_between_92_and_98_percent(
    press: Recording, opponents: Opponents, quantile: float, met: bool
) -> None:
    forecast, o = _like(opponents, EWMA), opponents.origins
    error = np.abs(o.truth() / 1e3 - forecast)[o.scored & opponents.later]
    width = np.full(press.size, np.quantile(error, quantile))
    score = score_forecast(press, forecast, width, FITTED, opponents)
    assert score.parts["scored"].coverage == pytest.approx(quantile, abs=0.002)
    assert _verdicts(score)["coverage of the 95 % interval"] is met


def test_missing_forecasts_are_counted_and_compared_with_nothing(
    press: Recording, opponents: Opponents
) -> None:
    forecast = _like(opponents, EWMA)
    gone = np.flatnonzero(opponents.origins.scored & opponents.later)[100:150]
    forecast[gone] = np.nan
    score = _score(press, opponents, forecast)
    whole = _score(press, opponents, _like(opponents, EWMA))
    part = score.parts["scored"]
    assert (part.missing, part.count + 50) == (50, whole.parts["scored"].count)
    assert part.rmse[EWMA] == pytest.approx(part.rmse[FORECAST])
    assert _verdicts(score)["scored origins with a forecast"] is False
    assert _verdicts(whole)["scored origins with a forecast"] is True


def test_a_small_subset_is_shown_and_not_judged(press: Recording, opponents: Opponents) -> None:
    masks = dict(opponents.origins.subsets)
    few = np.zeros(press.size, dtype=bool)
    few[np.flatnonzero(opponents.origins.scored & opponents.later)[:7]] = True
    origins = replace(opponents.origins, subsets={**masks, "speed": few})
    score = _score(press, replace(opponents, origins=origins), _like(opponents, EWMA, 2.0))
    goal = next(g for g in score.goals if SUBSETS["speed"] in g.name)
    assert (goal.met, goal.note) == (None, "7 origins, too few to judge")
    assert score.parts["speed"].ratio == pytest.approx(2.0)
    assert "7, too few" in _printed(score)


def test_json_has_the_agreed_keys_and_no_number_that_is_none(
    press: Recording, opponents: Opponents
) -> None:
    forecast = np.full(press.size, np.nan)
    for f in (forecast, _like(opponents, EWMA)):
        text = json.dumps(_score(press, opponents, f).as_json(), allow_nan=False)
        result = json.loads(text)["recording"]
        agreed = ("rmse_kN", "persistence_rmse_kN", "ewma_rmse_kN", "arx_rmse_kN", "coverage_95")
        assert {*agreed, "batches", "subsets", "after_restart", "goals"} <= set(result)
        assert [b["batch"] for b in result["batches"]] == ["B2", "B3"]
        assert set(result["subsets"]) == set(SUBSETS)
    assert all(isinstance(result[key], float) for key in agreed)


def _printed(score: RecordingScore) -> str:
    out = io.StringIO()
    print_score(Console(file=out, width=250), score)
    return out.getvalue()


def test_the_table_shows_what_was_reached_and_by_which_opponents(
    press: Recording, opponents: Opponents
) -> None:
    score = _score(press, opponents, _like(opponents, EWMA))
    text = _printed(score)
    for name in (FORECAST, PERSISTENCE, EWMA, ARX):
        assert f"{score.parts['scored'].rmse[name]:.5f}" in text
    assert "batch B3" in text
    assert opponents.arx_text in text.replace("\n", "")
    assert all(goal.name in text for goal in score.goals)


def test_without_earlier_batches_the_rest_is_still_scored() -> None:
    r = held_press(12, 1, rows=300)
    score = score_forecast(r, np.full(r.size, 6.0), np.full(r.size, 0.2), ())
    assert np.isfinite(score.parts["scored"].rmse[EWMA])
    assert score.as_json()["recording"]["arx_rmse_kN"] is None
    assert _verdicts(score)["RMSE below persistence or towards the ARX"] is None
    assert "Fitted on batches: none" in _printed(score)


@pytest.mark.parametrize("channel", ["tablet_rate", "main_force"])
def test_a_press_that_never_makes_tablets_is_scored_as_nothing(channel: str) -> None:
    r = held_press(13, 2, rows=100)
    still = replace(r, channels={**r.channels, channel: np.zeros(r.size)})
    score = score_forecast(still, np.full(r.size, 6.0), np.full(r.size, 0.2), ("B0",))
    assert score.parts["scored"].count == 0
    assert {goal.met for goal in score.goals} == {None}
    assert score.as_json()["recording"]["rmse_kN"] is None
    assert "0, too few" in _printed(score)
