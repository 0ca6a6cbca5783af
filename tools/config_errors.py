"""What is wrong with a configuration, in four parts that a person can act on.

`Problem` says in which file, where in the document (with its line), what is wrong with the value
found and what would be right. `ConfigError` carries all problems of one load at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tools.config_schema import SchemaView, quantity_unit
from tools.yaml_paths import Document, path_text

__all__ = ["ConfigError", "Problem", "problems_of"]

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One defect: file, path in the document with its line, what is wrong, what would be right."""

    file: Path
    where: str
    wrong: str
    right: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where} (line {self.line})"
        return f"file   {self.file}\nat     {place}\nwrong  {self.wrong}\nright  {self.right}"


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` lists everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n\n".join(str(p) for p in self.problems))

    @property
    def path(self) -> Path:
        """File of the first problem."""
        return self.problems[0].file

    @property
    def where(self) -> str:
        """Place of the first problem in its document."""
        return self.problems[0].where


# What validators of our models say -> (what is wrong, what would be right).
_SPLIT: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"(.*): the lower value (\S+) must be below the upper (\S+)"),
        r"\1: the lower value \2 is not below the upper \3",
        r"a lower value below \3 or an upper value above \2",
    ),
    (
        re.compile(r"(.*) (lies outside (?:its limits|its range))(?: (\S+)\.\.(\S+))?"),
        r"\1 \2 \3..\4",
        r"a value strictly between the two limits",
    ),
    (re.compile(r"(.*); (.*)", re.DOTALL), r"\1", r"\2"),
    (re.compile(r"(.*?) must (not )?(.*?)(, else .*)?"), r"\g<0>", r"must \2\3"),
    (re.compile(r"(.*): exactly one (.*), found (\d+)"), r"\1: \3 found", r"exactly one \2"),
)


def _from_validator(message: str) -> tuple[str, str]:
    text = " ".join(message.removeprefix("Value error, ").split())
    for pattern, wrong, right in _SPLIT:
        if match := pattern.fullmatch(text):
            said = match.expand(wrong).replace(" ..", "").strip()
            return said, match.expand(right).replace("must be ", "values that are ")
    return text, "values that do not contradict each other"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if len(text) <= 60 else text[:57] + "..."


def _sentence(kind: str, message: str, value: Any, expected: str) -> tuple[str, str]:
    if kind in {"value_error", "assertion_error"}:
        return _from_validator(message)
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        limit = message.rsplit(" ", 1)[-1]
        side = "not above" if kind == "greater_than" else "not below"
        if kind == "greater_than_equal":
            side = "below"
        elif kind == "less_than_equal":
            side = "above"
        return f"{_shown(value)} is {side} {limit}", expected
    if kind == "finite_number":
        return f"{_shown(value)} is not a finite number", expected
    if kind in {"literal_error", "enum"}:
        return f"{_shown(value)} is none of the choices", expected
    if kind in {"too_short", "too_long"}:
        return f"{_shown(value)} has the wrong length: {message}", expected
    if kind == "string_too_short":
        return "the text is empty or too short", expected
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} does not have the required form", expected
    if kind.endswith(("_type", "_parsing", "_from_float")):
        return f"{_shown(value)} is of the wrong type", expected
    return f"{_shown(value)}: {message}", expected


def _inside(document: Document, loc: Sequence[str | int]) -> Path_:
    """``loc`` without the names of union branches, which pydantic adds."""
    path: Path_ = ()
    for step in loc:
        try:
            document.value((*path, step))
        except LookupError:
            continue
        path = (*path, step)
    return path


def _broken_below(errors: Sequence[Any], loc: tuple[str | int, ...]) -> bool:
    return any(len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors)


def problems_of(
    error: ValidationError, file: Path, document: Document, model: type[BaseModel]
) -> list[Problem]:
    """Translate what pydantic found; a misspelt key is one problem, not two."""
    view = SchemaView(model)
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    missing = {tuple(e["loc"]) for e in errors if e["type"] == "missing"}
    extra = [tuple(e["loc"]) for e in errors if e["type"] == "extra_forbidden"]
    found: list[Problem] = []

    def add(path: Path_, wrong: str, right: str) -> None:
        found.append(
            Problem(
                file=file,
                where=path_text(path),
                line=document.line(path),
                wrong=wrong,
                right=right,
            )
        )

    for loc in extra:
        parent, key = loc[:-1], str(loc[-1])
        absent = {str(m[-1]) for m in missing if m[:-1] == parent}
        known = view.keys(_inside(document, parent))
        best = difflib.get_close_matches(key, sorted(absent), 1, 0.6)
        best = best or difflib.get_close_matches(key, known, 1, 0.6)
        if best:
            missing.discard((*parent, best[0]))
            right = f"did you mean {best[0]!r}?"
        else:
            right = "one of " + ", ".join(known) if known else "no such key"
        add((*_inside(document, parent), key), f"unknown key {key!r}", right)
    for loc in sorted(missing, key=str):
        path = (*_inside(document, loc[:-1]), loc[-1])
        add(path, f"{loc[-1]!r} is missing", view.describe(path, document))
    for item in errors:
        if item["type"] in {"missing", "extra_forbidden"}:
            continue
        path = _inside(document, item["loc"])
        if item["type"] in {"too_short", "too_long"} and _broken_below(errors, item["loc"]):
            continue  # pydantic counts only the good entries
        wrong, right = _sentence(
            item["type"], item["msg"], document.value(path), view.describe(path, document)
        )
        unit = quantity_unit(path, document)
        if unit and isinstance(document.value(path), (int, float)):
            wrong = wrong.replace(" is ", f" {unit} is ", 1)
        if not any(p.where == path_text(path) for p in found):
            add(path, wrong, right)
    return sorted(found, key=lambda p: (p.line or 0, p.where))
