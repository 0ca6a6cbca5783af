"""``twinline advice`` and ``twinline readiness``: what a person sees and asks at the controller."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from typer.testing import CliRunner, Result

from controller.data import CV
from controller.supervision.readiness import ReadinessLine, ReadinessReport
from tests.controller.supervision.advice_kit import THICKER, Desk, ask
from tools.cli import app
from tools.people import ControllerDesk, PersonRefused


class ShamDesk(ControllerDesk):
    """At a controller that is not there: it shows ``values`` and answers every call."""

    values: dict[str, Any]
    calls: list[tuple[Any, ...]]
    accepts: bool

    def __init__(self) -> None:
        object.__setattr__(self, "values", {})
        object.__setattr__(self, "calls", [])
        object.__setattr__(self, "accepts", True)

    async def read(self, paths: Any) -> list[Any]:
        return [self.values.get(p) for p in paths]

    async def call(self, method: str, *arguments: ua.Variant) -> list[Any]:
        self.calls.append((method, *((a.VariantType.name, a.Value) for a in arguments)))
        return [self.accepts, "as the controller says"]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> ShamDesk:
    sham = ShamDesk()

    @asynccontextmanager
    async def at(endpoint: str, me: object, user: str, password: str) -> AsyncIterator[ShamDesk]:
        if password != "right":
            raise PersonRefused(f"{endpoint}: {user} is not known")
        yield sham

    monkeypatch.setattr("tools.commands.desk.at_controller", at)
    return sham


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("right\n", "utf-8")
    file.chmod(0o600)
    return file


def run(secret: Path, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(
        app, [*words, "--user", "anna", "--password-file", str(secret)]
    )


def test_the_list_shows_move_reason_effect_and_how_long_it_holds(
    desk: ShamDesk, secret: Path
) -> None:
    people = Desk()
    people.step(THICKER, free={CV.TENSILE_STRENGTH.value: 2.10e6})
    people.step(THICKER, None, ask(1, "hold", user="ben"), free={CV.TENSILE_STRENGTH.value: 2.10e6})
    desk.values["Controller/Advice/List"] = people.state.as_json()
    result = run(secret, "advice", "list")
    assert result.exit_code == 0
    for text in (
        "thickness from 3.084 to 3.104 mm",
        "tensile strength is 2.1, 0.15 MPa below its target 2.25 MPa",
        "in 6 min 2.1 without the plan's moves, 2.25 ± 0.04 MPa with them",
        "held by ben",
        "until 22:14:30 UTC",
    ):
        assert text in result.stdout
    again = run(secret, "advice", "list", "--json")
    assert json.loads(again.stdout)[0]["mv"] == "Line/Press/Thickness"


def test_no_advice_is_said(desk: ShamDesk, secret: Path) -> None:
    desk.values["Controller/Advice/List"] = "[]"
    assert run(secret, "advice", "list").stdout.strip() == "there is no advice"


@pytest.mark.parametrize("action", ["accept", "reject", "hold", "release"])
def test_an_answer_calls_the_method_with_number_and_reason(
    desk: ShamDesk, secret: Path, action: str
) -> None:
    result = run(secret, "advice", action, "7", "--reason", "as agreed")
    assert (result.exit_code, result.stdout.strip()) == (0, "as the controller says")
    method = f"Controller/{action.capitalize()}Advice"
    assert desk.calls == [(method, ("Int64", 7), ("String", "as agreed"))]
    object.__setattr__(desk, "accepts", False)
    assert run(secret, "advice", action, "7", "--reason", "as agreed").exit_code == 1


@pytest.mark.parametrize("ready", [True, False])
def test_readiness_shows_every_line_and_leaves_by_what_it_says(
    desk: ShamDesk, secret: Path, ready: bool
) -> None:
    report = ReadinessReport(
        ready=ready,
        lines=(
            ReadinessLine(
                name="forecast error of potency",
                value=0.4321,
                unit="% of label",
                goal="at most 0.9",
                good=True,
                text="5 min ahead",
            ),
            ReadinessLine(
                name="coverage of potency",
                value=None,
                unit="%",
                goal="at least 80",
                good=ready,
                text="nothing judged",
            ),
        ),
    )
    desk.values["Controller/Readiness/Report"] = report.as_json()
    result = run(secret, "readiness")
    assert result.exit_code == (0 if ready else 1)
    assert "0.4321 % of label" in result.stdout
    assert ("not yet" in result.stdout) is not ready
    assert json.loads(run(secret, "readiness", "--json").stdout)["ready"] is ready


def test_without_a_report_or_with_a_wrong_password_it_is_said(desk: ShamDesk, secret: Path) -> None:
    assert run(secret, "readiness").exit_code == 1
    secret.write_text("wrong\n", "utf-8")
    result = run(secret, "advice", "list")
    assert (result.exit_code, "anna is not known" in result.stdout) == (2, True)
