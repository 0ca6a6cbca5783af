"""``twinline service``: what a person sees of the services, and asks at the controller."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.tools.test_advice_command import ShamDesk, desk, secret
from tools.cli import app

__all__ = ["desk", "secret"]  # fixtures

WHY = ("--reason", "nozzle changed")


def run(secret: Path, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(
        app, ["service", *words, "--user", "anna", "--password-file", str(secret)]
    )


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (
            ("out", "Thickness"),
            ("SetService", ("String", "mv"), ("String", "Thickness"), ("Boolean", False)),
        ),
        (
            ("in", "Formulation"),
            ("SetService", ("String", "unit"), ("String", "Formulation"), ("Boolean", True)),
        ),
        (
            ("out", "potency"),
            ("SetService", ("String", "cv"), ("String", "potency"), ("Boolean", False)),
        ),
        (
            ("limit", "Thickness", "--low", "3", "--high", "3.4"),
            ("SetLimit", ("String", "Thickness"), ("Double", 3.0), ("Double", 3.4)),
        ),
        (("limit", "Thickness"), ("ClearLimit", ("String", "Thickness"))),
    ],
)
def test_what_is_asked_for_is_called_with_the_reason(
    desk: ShamDesk, secret: Path, words: tuple[str, ...], call: tuple[object, ...]
) -> None:
    result = run(secret, *words, *WHY)
    assert result.exit_code == 0 and "as the controller says" in result.output
    method, *given = call
    assert desk.calls == [(f"Controller/{method}", *given, ("String", "nozzle changed"))]


def test_who_is_refused_is_told_why(desk: ShamDesk, secret: Path) -> None:
    object.__setattr__(desk, "accepts", False)
    result = run(secret, "out", "Press", *WHY)
    assert result.exit_code == 1 and "as the controller says" in result.output


def test_one_limit_alone_is_bad_input(desk: ShamDesk, secret: Path) -> None:
    result = run(secret, "limit", "Thickness", "--low", "3", *WHY)
    assert result.exit_code == 2 and "--low and --high" in result.output
    assert desk.calls == []


def test_the_services_are_shown_with_what_holds_a_variable_back(
    desk: ShamDesk, secret: Path
) -> None:
    desk.values.update(
        {
            "Controller/MVs/Thickness/Service": "ON",
            "Controller/MVs/Thickness/Limited": "at its upper limit",
            "Controller/MVs/Thickness/LowLimit": None,
            "Controller/MVs/Thickness/HighLimit": 3.4,
            "Controller/CVs/potency/Service": "PREDICTED",
            "Controller/CVs/potency/ServiceText": "not measured [NIR]",
        }
    )
    result = run(secret, "show")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "at its upper limit" in rows["Thickness"] and "..3.4" in rows["Thickness"]
    assert "PREDICTED" in rows["potency"] and "not measured [NIR]" in rows["potency"]
    assert "TurretSpeed" not in result.output
