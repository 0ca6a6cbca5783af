"""Learning the reply of an unknown loop: what is learnt, whom to trust, how wide the intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.press import smoothers
from controller.press.reply import FORECASTERS, Reply, ReplyState
from controller.press.settings import PressForecastConfig

CONFIG = PressForecastConfig()
PERIOD = 10.0
H = CONFIG.steps


def _play(
    force: np.ndarray, fill: np.ndarray | None = None, config: PressForecastConfig = CONFIG
) -> tuple[np.ndarray, np.ndarray, ReplyState]:
    """(n, h) forecasts, half widths, last state; settings as held give the weighted mean."""
    learner = Reply(config, PERIOD)
    state, smoothed = learner.start(), None
    mixed, half = np.empty((force.size, H)), np.empty((force.size, H))
    fill = np.zeros(force.size) if fill is None else fill
    for k in range(force.size):
        signals = np.array([force[k], fill[k], 0.0])
        if smoothed is None:
            smoothed = smoothers.start(signals, len(config.smoothing))
        else:
            smoothed = smoothers.advance(
                smoothed, signals, config.weighted_mean, np.array(config.smoothing)
            )
        x, time = smoothers.features(smoothed), PERIOD * k
        state = learner.learn(state, time, force[k], x)
        levels = (smoothed.mean, smoothed.recent, smoothed.mean)
        issued = learner.forecast(state, time, x, levels, young=False)
        state = learner.issue(state, issued)
        mixed[k], half[k] = issued.mixed, issued.half
    return mixed, half, state


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def _white(n: int, seed: int = 5) -> np.ndarray:
    return 6.0 + 0.1 * np.random.default_rng(seed).standard_normal(n)


def test_of_white_noise_nothing_is_learnt_that_hurts() -> None:
    force = _white(2500)
    mixed, half, _ = _play(force, config=CONFIG.model_copy(update={"weighted_mean": 0.02}))
    error = (force[500 + H :] - mixed[500:-H, -1]) / 0.1
    assert _rms(error) < 1.03
    inside = np.abs(force[500 + H :] - mixed[500:-H, -1]) <= half[500:-H, -1]
    assert 0.93 < np.mean(inside) < 0.97


def test_a_loop_that_takes_the_force_back_is_learnt() -> None:
    """Force follows the fill depth's recent moves, which the weighted mean cannot see."""
    rng = np.random.default_rng(3)
    moves = 0.2 * rng.standard_normal(4000) * (rng.random(4000) < 0.1)
    fill = np.cumsum(moves)
    fill -= np.convolve(fill, np.full(60, 1.0 / 60.0), mode="same")
    force = 6.0 + np.r_[np.zeros(3), fill[:-3]] + 0.05 * rng.standard_normal(4000)
    mixed, _, state = _play(force, fill)
    mean = np.empty(4000)
    level = smoothers.start(np.array([force[0], 0.0, 0.0]), 1)
    for k, y in enumerate(force):
        level = smoothers.advance(
            level, np.array([y, 0.0, 0.0]), CONFIG.weighted_mean, np.array([0.5])
        )
        mean[k] = level.mean
    later = slice(1500 + 3, None)
    ours = _rms((force[3:] - mixed[:-3, 2])[later])
    theirs = _rms((force[3:] - mean[:-3])[later])
    assert ours < 0.75 * theirs
    assert np.all(np.isfinite(state.theta)) and np.all(np.isfinite(state.cov))


def test_covariances_stay_positive_over_a_long_quiet_time() -> None:
    """Nothing happens for eight hours, then much: the learner must not have wound up."""
    force = np.concatenate((np.full(3000, 6.0), _white(500), np.full(50, 9.0), _white(200)))
    mixed, half, state = _play(force)
    assert np.all(np.isfinite(mixed)) and np.all(half > 0.0)
    for cov in state.cov:
        assert np.linalg.eigvalsh(0.5 * (cov + cov.T)).min() > 0.0
    assert np.abs(mixed[-150:]).max() < 12.0


def test_the_interval_widens_when_the_noise_does_and_keeps_its_coverage() -> None:
    rng = np.random.default_rng(8)
    scale = np.r_[np.full(2000, 0.05), np.full(3000, 0.2)]
    force = 6.0 + scale * rng.standard_normal(5000)
    mixed, half, _ = _play(force)
    assert half[4500, -1] > 2.5 * half[1900, -1]
    inside = np.abs(force[H:] - mixed[:-H, -1]) <= half[:-H, -1]
    assert 0.92 < np.mean(inside[3200:]) < 0.98


def test_the_worse_forecaster_loses_its_weight() -> None:
    learner, force = Reply(CONFIG, PERIOD), _white(600)
    state = learner.start()
    x = np.zeros(state.size.size)
    for k, y in enumerate(force):
        state = learner.learn(state, PERIOD * k, y, x)
        issued = learner.forecast(state, PERIOD * k, x, (6.0, 6.0, 6.4), young=False)
        state = learner.issue(state, issued)
    trust = learner.trust(state, young=False)
    assert trust.shape == (len(FORECASTERS), H)
    assert trust.sum(axis=0) == pytest.approx(np.ones(H))
    assert np.all(trust[2] < 1e-3)


def test_an_outcome_is_counted_once_and_only_at_its_time() -> None:
    learner = Reply(CONFIG, PERIOD)
    x = np.full(learner.start().size.size, 0.1)
    state = learner.start()
    state = learner.issue(state, learner.forecast(state, 0.0, x, (6.0, 6.0, 6.0), young=True))
    between = learner.learn(state, 14.0, 6.5, x)
    assert np.array_equal(between.seen, state.seen)
    assert len(between.waiting) == 1
    after = learner.learn(state, 20.0, 6.5, x)
    assert after.seen[1].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert after.seen[0].sum() == 0.0
    assert learner.learn(state, 60.0, 6.5, x).waiting == ()
    unknown = learner.learn(state, 20.0, float("nan"), x)
    assert np.array_equal(unknown.theta, state.theta)
    assert learner.learn(state, 4000.0, 6.5, x).seen.sum() == 0.0


def test_learning_changes_no_earlier_state() -> None:
    learner = Reply(CONFIG, PERIOD)
    state = learner.start()
    x = np.full(state.size.size, 0.2)
    state = learner.issue(state, learner.forecast(state, 0.0, x, (6.0, 6.0, 6.0), young=False))
    kept = replace(state, theta=state.theta.copy(), cov=state.cov.copy(), loss=state.loss.copy())
    learner.learn(state, PERIOD, 6.7, x)
    assert np.array_equal(kept.theta, state.theta)
    assert np.array_equal(kept.cov, state.cov)
    assert np.array_equal(kept.loss, state.loss)
