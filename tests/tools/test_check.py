"""`twinline check`: good configurations pass, each broken one gives one error in four parts."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.tools.broken_configs import CASES, FOLDER, Broken
from tools.cli import app


def _check(*paths: Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, paths)], env={"COLUMNS": "200"})


def _errors(output: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in output.splitlines():
        label, text = line[:6].strip(), line[6:]
        if label == "error":
            found.append({"error": text})
        elif label in {"at", "wrong", "right"} and found:
            found[-1][label] = text
    return found


def test_all_shipped_configurations_are_valid(root: Path) -> None:
    result = _check(root / "configs")
    assert result.exit_code == 0, result.stdout
    shipped = sorted((root / "configs").rglob("*.yaml"))
    assert len(shipped) >= 7
    assert all(path.name in result.stdout for path in shipped)
    assert f"{len(shipped)} configurations valid" in result.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_configuration_gives_one_error_with_four_parts(case: Broken) -> None:
    result = _check(case.path)
    assert result.exit_code == 2, result.stdout
    assert result.exception is None or isinstance(result.exception, SystemExit)
    errors = _errors(result.stdout)
    assert len(errors) == 1, result.stdout
    (error,) = errors
    place, _, line = error["at"].partition("  (line ")
    assert (place, line.rstrip(")").isdigit()) == (case.where, True)
    assert error["error"] == str(case.path)
    assert case.wrong in error["wrong"]
    assert case.right in error["right"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_configuration_differs_from_a_good_one_in_one_place(case: Broken) -> None:
    assert case.path.read_text("utf-8") == case.text(), (
        "a shipped configuration changed: python -m tests.tools.broken_configs"
    )


def test_a_file_that_is_not_text_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("kind: material\nschema: 1\nname: Pulver für Tabletten\n".encode("latin-1"))
    result = _check(file)
    assert result.exit_code == 2
    (error,) = _errors(result.stdout)
    assert error["at"] == "(whole file)  (line 3)"
    assert error["wrong"] == "byte 39 is not UTF-8 text"


def test_there_are_at_least_thirty_and_all_are_in_the_catalogue() -> None:
    files = set(FOLDER.glob("*.yaml"))
    assert files == {case.path for case in CASES}
    assert len(files) >= 30


def test_the_command_itself_exits_with_two_and_shows_no_traceback(root: Path) -> None:
    command = [sys.executable, "-c", "from tools.cli import app; app()"]
    result = subprocess.run(
        [*command, "check", str(CASES[0].path), str(root / "configs")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (2, "")
    assert len(_errors(result.stdout)) == 1


def test_a_folder_reports_a_shared_defect_once(tmp_path: Path, root: Path) -> None:
    """A broken material is referred to twice and is itself among the files."""
    for source in (root / "configs").rglob("*.yaml"):
        target = tmp_path / source.relative_to(root / "configs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    blend = tmp_path / "materials" / "reference_blend.yaml"
    blend.write_text(blend.read_text("utf-8").replace("porosity_exponent: 7.06", ""), "utf-8")
    result = _check(tmp_path)
    assert result.exit_code == 2
    (error,) = _errors(result.stdout)
    assert error["error"] == str(blend)
    assert error["at"].startswith("strength.porosity_exponent")


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path, root: Path) -> None:
    text = (root / "configs/materials/api.yaml").read_text("utf-8")
    text = text.replace("1290", "-3").replace("420", "much").replace("name: API", "nome: API")
    file = tmp_path / "api.yaml"
    file.write_text(text, "utf-8")
    errors = _errors(_check(file).stdout)
    assert [e["at"].split()[0] for e in errors] == [
        "nome",
        "true_density_kg_m3",
        "bulk_density_kg_m3",
    ]


@pytest.mark.parametrize("name", ["missing.yaml", "empty_folder"])
def test_nothing_found_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty_folder").mkdir()
    result = _check(tmp_path / name)
    assert result.exit_code == 2
    assert len(_errors(result.stdout)) == 1


def test_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.yaml").write_text("kind: nothing\n", "utf-8")
    result = _check(tmp_path)
    assert result.exit_code == 2
    assert "no configuration was found" in result.stdout
