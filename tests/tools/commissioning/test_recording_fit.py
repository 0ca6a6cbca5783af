"""``twinline recording fit``: tables, page, JSON, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli import app


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["recording", "fit", *map(str, words)])
    return result.exit_code, " ".join(result.stdout.split())


@pytest.mark.parametrize("law", ["kawakita", "heckel"])
def test_the_shipped_extract_is_fitted(root: Path, tmp_path: Path, law: str) -> None:
    file, data = root / "examples/recordings/press_code3.csv.gz", tmp_path / "fit.json"
    code, said = run(file, "--law", law, "--out", tmp_path, "--json", data)
    assert code == 0
    for words in (
        "dF_dfill, kN/mm",
        "biased, not a gain",
        "Ridgway Watt",
        "true density",
        "60 758",
    ):
        assert words in said
    page = (tmp_path / f"fit-press_code3-{law}.html").read_text("utf-8")
    for words in ("Profiles", "Residuals", "regression, biased", "set by hand"):
        assert words in page
    fit = json.loads(data.read_text("utf-8"))
    gain = fit["gains"]["dF_dfill"]
    assert 2e6 < gain["lo_95"] < gain["estimate"] < gain["hi_95"] < 6e6
    assert fit["plain_regression_biased"]["hi"] < 0.5 * gain["lo_95"]
    assert fit["cell"]["law"] == law


def test_named_batches_are_fitted_and_others_refused(root: Path, tmp_path: Path) -> None:
    file = root / "examples/recordings/press_code5.csv.gz"
    code, said = run(file, "--batches", "364, 365", "--out", tmp_path)
    assert code == 0
    assert "batches 364, 365" in said
    code, said = run(file, "--batches", "364,999", "--out", tmp_path)
    assert code == 2
    assert "999 is no batch of this recording; first-half, all, or of 117, 364, 365" in said


def test_a_file_that_is_no_recording_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("", "utf-8")
    code, said = run(tmp_path / "empty.csv", "--out", tmp_path)
    assert code == 2
    assert "wrong" in said
    assert not list(tmp_path.glob("*.html"))
