"""The simulated press in the ranges of recorded ones; the whole benchmark is marked slow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from tools.benchmarks import REGISTRY
from tools.benchmarks.realism import RANGES, Recording, figures, run_realism

# Issue keys, all present in the full run. What a short run shows of the slow density noise varies
# from run to run, so its ranges are wider: one seed of 20 min holds two spans of 600 s.
KEYS = ("srel_pct", "weight_rsd_pct", "ratio", "force_sd_10s_pct")
FILL = ("10s", "60s", "600s")


def test_a_short_steady_run_looks_like_a_press() -> None:
    result = run_realism(hours=1.0 / 3.0, seeds=1)["realism"]
    for key in KEYS:
        _, low, high = RANGES[key]
        assert low <= result[key] <= high, key
    assert "600s" not in result["fill_sd_pct"]
    for key, factor in (("10s", 1.0), ("60s", 1.15)):
        _, low, high = RANGES[f"fill_sd_pct.{key}"]
        assert low / factor <= result["fill_sd_pct"][key] <= high * factor, key
    assert 0.0 <= result["rejected_pct"] <= 1.0
    assert result["range"]["ratio"] == [result["ratio"]] * 2


@pytest.mark.slow
def test_four_hours_and_five_seeds_look_like_recorded_batches() -> None:
    result = run_realism()["realism"]
    for key in KEYS:
        _, low, high = RANGES[key]
        assert low <= result[key] <= high, key
    for key in FILL:
        _, low, high = RANGES[f"fill_sd_pct.{key}"]
        assert low <= result["fill_sd_pct"][key] <= high, key
    assert result["rejected_pct"] <= 1.0


def test_figures_are_what_their_names_say() -> None:
    generator = np.random.default_rng(1)
    recording = Recording(
        weight=generator.normal(200e-6, 2e-6, 40_000),
        srel=np.full(2000, 0.045),
        force=generator.normal(7000.0, 140.0, 2000),
        fill=8.0e-3 + 0.02e-3 * (np.arange(2000) % 4 > 1),  # up, stay, down, stay
        rejected=0.002,
    )
    f = figures(recording)
    assert f["srel_pct"] == pytest.approx(4.5)
    assert f["weight_rsd_pct"] == pytest.approx(1.0, rel=0.02)
    assert f["ratio"] == pytest.approx(4.5, rel=0.02)
    assert f["force_sd_10s_pct"] == pytest.approx(2.0, rel=0.05)
    assert f["fill_moved_pct"] == pytest.approx(50.0, abs=0.1)
    assert f["fill_move_mm"] == pytest.approx(0.02)
    assert f["fill_sd_pct.10s"] == pytest.approx(100.0 * 0.02 / 8.01 * 0.5**0.5, rel=1e-3)
    assert f["rejected_pct"] == pytest.approx(0.2)


@pytest.mark.parametrize(("hours", "seeds"), [(0.0, 1), (1.0, 0)])
def test_nothing_to_measure_is_an_error(hours: float, seeds: int) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        run_realism(hours, seeds)


def test_the_table_shows_every_figure_against_its_range() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    run_realism(hours=0.1, seeds=1, console=console)
    text = console.export_text()
    missing = [key for key, (name, _, _) in RANGES.items() if name not in text]
    assert missing == ["fill_sd_pct.600s"]  # six minutes cannot show it
    assert text.count("inside") + text.count("outside") == len(RANGES) - 1


def test_realism_is_a_registered_benchmark() -> None:
    assert "realism" in REGISTRY
