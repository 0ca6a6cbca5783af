"""``twinline product`` at the desks: what is called, and what is shown of a candidate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.tools.test_advice_command import ShamDesk, desk, secret
from tools.cli import app
from tools.configuration import load_product_set
from tools.people import PersonRefused

__all__ = ["desk", "secret"]  # fixtures

WHY = ("--reason", "order 12")
SHADOW = "Controller/Product/Shadow"


@pytest.fixture
def file(root: Path) -> Path:
    return root / "configs/product_sets/half_strength_tablet.yaml"


def run(secret: Path, *words: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(
        app, ["product", *map(str, words), "--user", "quinn", "--password-file", str(secret)]
    )


@pytest.mark.parametrize(
    ("command", "method"),
    [("load", "LoadProduct"), ("shadow", "ShadowModel"), ("promote", "PromoteModel")],
)
def test_a_change_is_asked_for_by_the_hash_of_the_set(
    desk: ShamDesk, secret: Path, file: Path, command: str, method: str
) -> None:
    result = run(secret, command, file, *WHY)
    assert result.exit_code == 0 and "as the controller says" in result.output
    wanted = ("String", load_product_set(file).hash)
    assert desk.calls == [(f"Controller/{method}", wanted, ("String", "order 12"))]


def test_the_shadow_is_ended_without_naming_it(desk: ShamDesk, secret: Path) -> None:
    assert run(secret, "drop", *WHY).exit_code == 0
    assert desk.calls == [("Controller/DropShadow", ("String", "order 12"))]


def test_who_is_refused_is_told_why(desk: ShamDesk, secret: Path, file: Path) -> None:
    object.__setattr__(desk, "accepts", False)
    result = run(secret, "promote", file, *WHY)
    assert result.exit_code == 1 and "as the controller says" in result.output


def test_a_file_that_is_no_set_is_bad_input(desk: ShamDesk, secret: Path, root: Path) -> None:
    result = run(secret, "load", root / "configs/lines/reference.yaml", *WHY)
    assert result.exit_code == 2 and desk.calls == []


def test_the_status_shows_both_models_side_by_side(desk: ShamDesk, secret: Path) -> None:
    desk.values.update(
        {
            "Controller/Product/Name": "reference tablet",
            "Controller/Product/Version": 1,
            "Controller/Product/RecipeIdWanted": "REF@a",
            "Controller/Permissives/ProductSetBound/Text": "the PLC has REF",
        }
    )
    assert "nothing runs in shadow" in run(secret, "status").stdout
    desk.values.update(
        {
            f"{SHADOW}/Hash": "b2",
            f"{SHADOW}/Cycles": 400,
            f"{SHADOW}/Verdict": "error of this and that (better or equal)",
            f"{SHADOW}/tablet_weight/ErrorActive": 1.375,
            f"{SHADOW}/tablet_weight/ErrorCandidate": 0.5,
        }
    )
    shown = run(secret, "status").stdout
    for text in (
        "reference tablet version 1, REF@a: the PLC has REF",
        "in shadow: b2, compared for 400 cycles: error of this and that (better or equal)",
    ):
        assert text in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["tablet_weight", "error", "1.38", "0.50"] in rows
    assert ["tensile_strength", "coverage", "-", "-"] in rows


def test_a_run_without_a_set_says_so(desk: ShamDesk, secret: Path) -> None:
    assert "the run has no product set" in run(secret, "status").stdout


class ShamPlant:
    """At a PLC that loads what it is told and refuses the rest."""

    def __init__(self, answer: str) -> None:
        self.answer, self.calls = answer, list[tuple[str, str, str]]()

    async def load_recipe(self, recipe: str, cleaning: str, reason: str) -> str:
        self.calls.append((recipe, cleaning, reason))
        return self.answer


@pytest.mark.parametrize(("answer", "status"), [("done", 0), ("the line is running", 1)])
def test_the_recipe_of_a_set_is_loaded_into_the_plc(
    monkeypatch: pytest.MonkeyPatch, secret: Path, file: Path, answer: str, status: int
) -> None:
    sham = ShamPlant(answer)

    @asynccontextmanager
    async def at(where: str, me: object, user: str, password: str) -> AsyncIterator[ShamPlant]:
        assert (user, password, ":4840/" in where) == ("quinn", "right", True)
        yield sham

    monkeypatch.setattr("tools.commands.product_desk.at_plant", at)
    result = run(secret, "recipe", file, "--cleaning", "dry", *WHY)
    assert result.exit_code == status and answer in result.output
    assert sham.calls == [(load_product_set(file).recipe_id, "dry", "order 12")]


def test_a_plant_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, secret: Path, file: Path
) -> None:
    @asynccontextmanager
    async def at(*_: object) -> AsyncIterator[ShamPlant]:
        raise PersonRefused("nobody listens there")
        yield

    monkeypatch.setattr("tools.commands.product_desk.at_plant", at)
    result = run(secret, "recipe", file, *WHY)
    assert result.exit_code == 2 and "nobody listens there" in result.output
