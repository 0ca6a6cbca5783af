"""Honest documentation, checked: units for every function, numbered equations, their sources."""

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "plant_models"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")

EQUATION = re.compile(r"^\(([A-Z]\d)\)", re.MULTILINE)
BRACKETED_UNIT = re.compile(r"\[[^\]\n]+\]")
UNIT_IN_WORDS = re.compile(r"\bunits?\b|in SI|lengths in m\b|in N\b")
# How far a source was read must be said in one of these ways.
HONESTY = re.compile(
    r"\bread\b|not read|abstract|digest|memory|assumed|textbook|worked out|title only|seen"
)


def _tree(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module}.py").read_text("utf-8"))


def _public(tree: ast.Module) -> list[ast.FunctionDef]:
    return [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]


def _with_equations() -> list[str]:
    return [m for m in MODULES if EQUATION.search(ast.get_docstring(_tree(m)) or "")]


def test_the_unit_operations_state_their_equations() -> None:
    assert set(_with_equations()) >= {
        "blender",
        "chute",
        "feed_frame",
        "feeder",
        "materials",
        "quality",
        "regulatory",
        "tablet_press",
    }


@pytest.mark.parametrize("module", _with_equations())
def test_equations_have_references_and_say_how_far_they_were_read(module: str) -> None:
    text = ast.get_docstring(_tree(module)) or ""
    head, mark, references = text.partition("References\n----------\n")
    assert mark, f"{module} has equations but no References section"
    assert EQUATION.search(head)
    assert HONESTY.search(references)


@pytest.mark.parametrize("module", _with_equations())
def test_every_numbered_equation_is_implemented_and_every_mark_is_defined(module: str) -> None:
    source = (FOLDER / f"{module}.py").read_text("utf-8")
    text = ast.get_docstring(_tree(module)) or ""
    defined = set(EQUATION.findall(text))
    letters = {equation[0] for equation in defined}
    body = source.replace(text.partition("References")[0], "")
    marked = {m for m in re.findall(r"\b[A-Z]\d\b", body) if m[0] in letters}
    assert marked <= defined
    code = body + (FOLDER / "powder_path.py").read_text("utf-8")  # balances of blender and chute
    references = text.partition("References")[2]
    code = code.replace(references, "")
    unused = {e for e in defined if not re.search(rf"\b{e}\b", code) and not _in_range(e, code)}
    assert unused == set()


def _in_range(equation: str, body: str) -> bool:
    """Whether a range such as ``P3-P5`` names the equation."""
    letter, number = equation[0], int(equation[1:])
    return any(
        int(a) <= number <= int(b) for a, b in re.findall(rf"{letter}(\d+)-{letter}(\d+)", body)
    )


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_is_documented(module: str) -> None:
    silent = [f.name for f in _public(_tree(module)) if not ast.get_docstring(f)]
    assert silent == []


@pytest.mark.parametrize("module", _with_equations())
def test_every_function_of_an_equation_states_its_units(module: str) -> None:
    silent = [
        f.name
        for f in _public(_tree(module))
        if not BRACKETED_UNIT.search(ast.get_docstring(f) or "")
        and not UNIT_IN_WORDS.search(ast.get_docstring(f) or "")
    ]
    assert silent == []


@pytest.mark.parametrize("module", _with_equations())
def test_every_parameter_class_states_its_units(module: str) -> None:
    classes = [
        n
        for n in _tree(module).body
        if isinstance(n, ast.ClassDef) and any("dataclass" in ast.dump(d) for d in n.decorator_list)
    ]
    silent = [
        c.name
        for c in classes
        if not re.search(r"\[|SI\b|kg|depths in m", ast.get_docstring(c) or "")
    ]
    assert silent == []
