"""docs/supervision.md says what the code does, and is current."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.alarms.entries import ENTRIES
from controller.measurement.ne107 import Defect
from controller.supervision.loss_table import LOSS_LADDER
from controller.supervision.mode_table import State
from controller.supervision.permissives import Name
from controller.supervision.roles import Action, Role
from controller.supervision.service_data import CvService, MvService
from tools.cli import app
from tools.docs_supervision import page


@pytest.fixture(scope="module")
def text() -> str:
    return page()


def test_the_committed_page_is_current(root: Path, text: str) -> None:
    committed = (root / "docs" / "supervision.md").read_text("utf-8")
    assert committed == text, "run `twinline docs supervision` and commit docs/supervision.md"


def test_everything_that_exists_is_on_the_page(text: str) -> None:
    words = [
        *(n.value for n in Name),
        *(r.instrument for r in LOSS_LADDER),
        *(r.value for r in Role),
        *(a.value for a in Action),
        *(d.value for d in Defect),
        *(f"`{d.id}`" for d in ENTRIES),
        *(f"`{s.value}`" for s in (*MvService, *CvService)),
        *(s.value for s in State),
    ]
    cells = {c.strip() for line in text.splitlines() for c in line.split("|")}
    assert [w for w in words if w not in cells] == []


def test_every_row_has_as_many_cells_as_its_table(text: str) -> None:
    table: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(table)) <= 1, line
            table = []


def test_the_diagram_has_every_mode_and_shed_leads_to_advisory_only(text: str) -> None:
    diagram = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert diagram is not None
    arrows = re.findall(r"^  (\S+) --> (\w+)(?:: (.+))?$", diagram[1], re.MULTILINE)
    assert {a for a, _, _ in arrows} | {b for _, b, _ in arrows} == {
        "[*]",
        "OFF",
        "MONITORING",
        "ADVISORY",
        "CLOSED_LOOP",
        "SUSPENDED",
        "SHED",
    }
    assert [b for a, b, _ in arrows if a == "SHED"] == ["ADVISORY"]
    assert {a for a, b, _ in arrows if b == "CLOSED_LOOP"} == {"ADVISORY", "SUSPENDED"}
    assert all(a != b for a, b, _ in arrows)


def test_the_command_writes_and_checks(tmp_path: Path, text: str) -> None:
    runner, target = CliRunner(), tmp_path / "page.md"
    arguments = ["docs", "supervision", "--output", str(target)]
    assert runner.invoke(app, [*arguments, "--check"]).exit_code == 1
    assert runner.invoke(app, arguments).exit_code == 0
    assert target.read_text("utf-8") == text
    assert runner.invoke(app, [*arguments, "--check"]).exit_code == 0
    target.write_text(text + " ", "utf-8")
    stale = runner.invoke(app, [*arguments, "--check"])
    assert stale.exit_code == 1 and "is not current" in stale.output
    assert runner.invoke(app, ["docs", "poetry"]).exit_code == 2
    missing = ["docs", "supervision", "--output", str(tmp_path / "no" / "page.md")]
    assert runner.invoke(app, missing).exit_code == 2
