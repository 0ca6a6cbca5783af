"""The demo of a recording without its link: result, report, what a failed link does to them."""

import csv
import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.pressed import recording_of
from tests.tools.demo.conftest import run_without_link
from tools.demo.recorded import PreparedRecording
from tools.recordings.origins import find_origins
from tools.report.recorded_series import (
    Event,
    binned,
    events_of,
    extremes,
    hours,
    middle_event,
    stops,
)


@dataclass(frozen=True)
class Run:
    """A finished demo."""

    folder: Path
    printed: str
    succeeded: bool

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text("utf-8"))

    @property
    def page(self) -> str:
        return (self.folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.fixture(scope="module")
def run(prepared: PreparedRecording, patch: pytest.MonkeyPatch) -> Run:
    succeeded, printed = run_without_link(prepared, patch)
    return Run(prepared.order.run.path, printed, succeeded)


class _Text(HTMLParser):
    """Text of a page outside of scripts and styles; headings apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & set(self._open):
            return
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
        self.texts.append(data)


def test_the_result_has_the_promised_keys(run: Run) -> None:
    assert run.succeeded
    found = run.result["recording"]
    keys = ("rmse_kN", "persistence_rmse_kN", "ewma_rmse_kN", "arx_rmse_kN", "coverage_95")
    assert all(0.0 < found[key] < 1.0 for key in keys)
    assert [b["batch"] for b in found["batches"]] == ["364", "365"]
    assert found["link"]["agrees"] and found["link"]["largest_difference_N"] == 0.0
    assert found["after_restart"]["half_width_kN"] > 0.0
    assert {f["kind"] for f in found["findings"]} >= {"standing", "quantised"}
    assert found["fit"]["cell"]["law"] == run.result["law"] == "kawakita"
    assert {p["batch"] for p in found["powder"]} == {"364", "365"}
    assert run.result["wall_s"].keys() == {"read", "opponents", "fit", "in_process", "over_link"}


def test_the_page_says_what_the_result_says(run: Run) -> None:
    found, text = run.result["recording"], _Text(run.page)
    for heading in ("Force 60 s ahead", "Goals", "The same over OPC UA", "The fitted press"):
        assert heading in text.headings
    assert any(h.startswith("Around a start") for h in text.headings)
    assert any(h.startswith("Around a change of thickness") for h in text.headings)
    for key in ("rmse_kN", "persistence_rmse_kN", "ewma_rmse_kN", "arx_rmse_kN"):
        assert f"{found[key]:.4f}" in text.texts
    words = " ".join(text.texts)
    assert "the same as in process" in words and "NOT" not in words
    assert "No tablet was weighed in the recording" in words
    for finding in found["findings"]:
        assert finding["text"] in words
    assert words.count("✗ missed") == sum(g["met"] is False for g in found["goals"])
    assert words.count("✓ met") == sum(g["met"] is True for g in found["goals"])


def test_the_page_needs_nothing_else(run: Run) -> None:
    outside = _Text(run.page)
    assert "http" not in " ".join(outside.texts)
    assert run.page.count("<script src") == 0 and "<link" not in run.page.split("<body")[0]
    names = ("errors", "window0", "window1", "trends", "powder", "fit0")
    for name in names:
        assert f'id="{name}"' in run.page


def test_what_is_printed_names_every_goal_and_the_report(run: Run) -> None:
    for goal in run.result["recording"]["goals"]:
        assert goal["name"] in run.printed
    assert "report:" in run.printed and "rows/s" in run.printed


def test_forecasts_are_left_as_a_table(run: Run, prepared: PreparedRecording) -> None:
    with gzip.open(run.folder / "forecasts.csv.gz", "rt", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    scored = prepared.scored
    assert len(rows) == scored.size
    assert [float(r["unix_s"]) for r in rows] == scored.time.tolist()
    running = scored.running()
    assert all(
        row["forecast_60s_kN"] == "" for row, runs in zip(rows, running, strict=True) if not runs
    )
    known = [r for r in rows if r["forecast_60s_kN"]]
    assert len(known) > 300
    error = [float(r["forecast_60s_kN"]) - float(r["force_kN"]) for r in known if r["force_kN"]]
    assert math.sqrt(np.mean(np.square(error))) < 0.5


@pytest.mark.parametrize("failure", ["the link failed: plant ended with 3"])
def test_a_failed_link_fails_the_demo_and_is_told_everywhere(
    failure: str, prepared: PreparedRecording, patch: pytest.MonkeyPatch
) -> None:
    succeeded, printed = run_without_link(prepared, patch, failure=failure)
    after = Run(prepared.order.run.path, printed, succeeded)
    assert not succeeded
    assert failure in printed and failure in " ".join(_Text(after.page).texts)
    assert after.result["recording"]["link"] == {"agrees": False, "note": failure}


def test_other_forecasts_over_the_link_fail_the_demo(
    prepared: PreparedRecording, patch: pytest.MonkeyPatch
) -> None:
    thought = []
    rows = prepared.link_rows

    def keep(p: PreparedRecording, thoughts: Any, *_: object) -> tuple[None, str]:
        thought.append(thoughts.last(rows))
        return None, ""

    from tools.demo import recorded

    patch.setattr(recorded, "_over_the_link", keep)
    recorded.run_recorded(prepared, recorded.Console(quiet=True))
    other = replace(thought[0], mean=thought[0].mean * (1.0 + 1e-6))
    succeeded, printed = run_without_link(prepared, patch, online=other)
    assert not succeeded
    assert "NOT the same as in process" in " ".join(printed.split())


# Series


def test_no_extreme_of_a_long_series_is_lost() -> None:
    rng = np.random.default_rng(1)
    y = rng.standard_normal(20_000)
    y[[777, 15_000]] = 90.0, -80.0
    x = np.arange(20_000.0)
    short_x, short = extremes(x, y, bins=500)
    assert short.size <= 1000
    assert (short.max(), short.min()) == (90.0, -80.0)
    assert (np.diff(short_x) > 0.0).all()
    np.testing.assert_array_equal(short, y[short_x.astype(int)])
    for part in np.array_split(np.arange(20_000), 500):
        assert y[part].max() in short and y[part].min() in short


def test_a_hole_breaks_a_line() -> None:
    y = np.r_[np.ones(100), np.full(100, np.nan), np.ones(100)]
    x, short = extremes(np.arange(300.0), y, bins=30)
    assert np.isnan(short[(x >= 100) & (x < 200)]).all() and np.isnan(short).any()


def test_bins_are_medians_of_what_is_known() -> None:
    x, a, b = binned(
        np.arange(6.0), np.array([1.0, 2.0, 9.0, np.nan, 4.0, np.nan]), np.ones(6), bins=2
    )
    assert x.tolist() == [1.0, 4.0]
    assert a.tolist() == [2.0, 4.0] and b.tolist() == [1.0, 1.0]


def test_stops_are_where_the_press_stands() -> None:
    rate = np.full(100, 30.0)
    rate[20:41] = 0.0
    recording = recording_of(np.full(100, 6e3), tablet_rate=rate)
    assert hours(recording)[36] == pytest.approx(0.1)
    ((first, last),) = stops(recording)
    assert (first, last) == pytest.approx((20 / 360, 41 / 360))


def test_the_event_shown_is_neither_the_best_nor_the_worst() -> None:
    events = [Event(1, 0.3), Event(2, 0.1), Event(3, 0.2), Event(4, 9.0)]
    chosen = middle_event(events)
    assert chosen is not None and chosen.error == 0.2
    assert middle_event([]) is None


def test_an_event_counts_the_errors_of_its_own_start_only() -> None:
    rate = np.full(60, 30.0)
    rate[30] = 0.0
    recording = recording_of(np.full(60, 6e3), tablet_rate=rate)
    error = np.r_[np.full(30, 0.1), np.full(30, 5.0)]
    (event,) = events_of(recording, find_origins(recording), [20], error)
    assert event.row == 20 and event.error == pytest.approx(0.1)
    assert events_of(recording, find_origins(recording), [28], error) == []
