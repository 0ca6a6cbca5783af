"""The worked example of docs/recordings.md is read as the text says."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from plant_models.recording import CHANNELS
from tools.cli import app
from tools.configuration import load_recording_mapping
from tools.recordings.mapping import REQUIRED, units_of
from tools.recordings.reader import read_recording


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "recordings.md").read_text("utf-8")


@pytest.fixture(scope="module")
def example(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    blocks = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in blocks] == ["press.csv", "mapping.yaml"]
    for name, block in blocks:
        (folder / name).write_text(block, "utf-8")
    return folder


def test_the_example_passes_the_check(example: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(example / "mapping.yaml")])
    assert result.exit_code == 0, result.output


def test_the_example_is_read_in_its_units(example: Path) -> None:
    mapping = load_recording_mapping(example / "mapping.yaml")
    loaded = read_recording(example / "press.csv", mapping)
    r = loaded.recording
    assert (r.code, r.period_s, r.batches()) == ("P20", 5.0, ("K17",))
    assert r.time[0] == datetime(2024, 3, 21, 5, 0, 0, tzinfo=UTC).timestamp()
    assert r.channels.keys() == {*REQUIRED, "ejection_force"}
    np.testing.assert_allclose(r.channels["tablet_rate"], 30.0)
    np.testing.assert_allclose(r.channels["main_force"], [6120.0, 6080.0, np.nan, 6150.0])
    np.testing.assert_allclose(r.channels["fill_depth"], [6.52e-3, 6.52e-3, 6.54e-3, 6.54e-3])
    np.testing.assert_allclose(r.channels["thickness"], 1.94e-3)
    assert loaded.tooling.known and loaded.tooling.weight == pytest.approx(220e-6)


def test_every_channel_and_its_units_are_named(text: str) -> None:
    for channel in CHANNELS:
        assert f"`{channel}`" in text
    for unit in units_of("tablet_rate"):
        assert f"`{unit}`" in text


def test_every_kind_of_finding_is_explained(text: str, root: Path, example: Path) -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \| ", text, re.MULTILINE)
    explained = {kind for row in rows for kind in row.split(", ")}
    files = [*sorted((root / "examples" / "recordings").glob("*.gz")), example / "press.csv"]
    mappings = [None, None, load_recording_mapping(example / "mapping.yaml")]
    found = {
        finding.kind
        for file, mapping in zip(files, mappings, strict=True)
        for finding in read_recording(file, mapping).findings
    }
    assert found and found <= explained
    assert {"mislabelled", "frozen", "duplicated", "out of order", "truncated"} <= explained


def test_what_it_points_to_exists(text: str, root: Path) -> None:
    named = re.findall(r"`((?:configs|controller|plant_models|tools|examples)/[\w./]+)`", text)
    assert named
    for path in named:
        assert (root / path).exists(), path
