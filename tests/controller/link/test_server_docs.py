"""docs/opcua_server.md says what the code does."""

import re
from pathlib import Path

import pytest

from controller.link.server_fields import SEVERITIES
from controller.link.server_history import LARGEST_ANSWER, ROWS
from controller.link.server_methods import METHODS
from controller.link.server_nodes import NEW_PER_CYCLE
from controller.link.server_standard import COMMENT_HOLDS_S, NOT_FOR_ANYBODY, STANDARD_METHODS
from controller.supervision.roles import Action, allowed
from controller.supervision_config import SupervisionConfig

PEOPLE = ("operator", "supervisor", "engineer", "quality")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "opcua_server.md").read_text("utf-8")


def _row(method_name: str, text: str) -> list[str]:
    older = r"(?: \(older name `\w+`\))?"
    (row,) = re.findall(rf"^\| (`{method_name}`{older} \|.*) \|$", text, re.MULTILINE)
    return [cell.strip() for cell in row.split("|")]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_the_table_of_methods_has_its_arguments_and_roles(method, text: str) -> None:
    if method.name == "RequestTarget":
        assert "older name `RequestTarget`" in text
        return
    name, arguments, *roles = _row(method.name, text)
    assert name.startswith(f"`{method.name}`")
    said = re.sub(r" \([^)]*\)", "", arguments).split(", ")
    assert said == [a.name for a in method.arguments]
    config = SupervisionConfig()
    may = {r for action in method.actions for r in allowed(action, config)}
    assert {p for p, cell in zip(PEOPLE, roles, strict=True) if cell != "–"} == may


def test_who_may_only_shed_is_said_so(text: str) -> None:
    config = SupervisionConfig()
    only = set(allowed(Action.SHED, config)) - set(allowed(Action.CHANGE_MODE, config))
    _, _, *roles = _row("RequestMode", text)
    assert {p for p, cell in zip(PEOPLE, roles, strict=True) if cell == "SHED only"} == only


def test_the_numbers_of_the_page_are_those_of_the_code(text: str) -> None:
    severities = ", ".join(str(s) for s in sorted(SEVERITIES.values()))
    assert f"{severities} for low, medium, high" in text
    assert f"at most {LARGEST_ANSWER} values" in text
    assert f"the last {ROWS:,} cycles".replace(",", " ") in text
    assert f"most {NEW_PER_CYCLE} new nodes" in text
    assert f"up to {COMMENT_HOLDS_S:g} s of plant time" in text


def test_the_page_has_every_method_of_the_standard_that_works_or_that_nobody_may_call(
    text: str,
) -> None:
    section = text[text.index("## Alarms as events and conditions") :]
    for name in (*(n for n, _, _ in STANDARD_METHODS), *NOT_FOR_ANYBODY):
        assert re.search(rf"`(ShelvingState/)?{name.rpartition('_')[2]}[`(]", section), name
