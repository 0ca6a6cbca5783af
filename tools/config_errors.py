"""What is wrong with a configuration, in four parts that a person can act on.

`Problem` says in which file, where in the document (with its line), what is wrong with the value
found and what would be right. `ConfigError` carries all problems of one load at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tools.config_messages import contradiction
from tools.config_schema import SchemaView, quantity_unit
from tools.yaml_paths import Document, path_text

_QUOTED = re.compile(r"'([^']*)'")

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
    error: ValidationError,
    file: Path,
    document: Document,
    model: type[BaseModel],
    references: Mapping[str, str],
) -> list[Problem]:
    """Translate what pydantic found; a misspelt key is one problem, not two.

    ``references`` maps names of fields that hold a path to the kind of file that they point to.
    """
    view = SchemaView(model)
    errors = error.errors(include_url=False, include_input=False)
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
        right = view.describe(path, document)
        if (wanted := references.get(str(loc[-1]))) is not None:
            right = f"the path of a {wanted}, relative to this file"
        add(path, f"{loc[-1]!r} is missing", right)
    for item in errors:
        if item["type"] in {"missing", "extra_forbidden"}:
            continue
        path = _inside(document, item["loc"])
        if item["type"] == "union_tag_invalid":
            tag = item["ctx"]["discriminator"].strip("'")
            choices = item["ctx"]["expected_tags"]
            close = difflib.get_close_matches(item["ctx"]["tag"], _QUOTED.findall(choices), 1, 0.6)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            wrong = f"{item['ctx']['tag']!r} is none of the choices"
            add((*path, tag), wrong, f"one of {choices}{hint}")
            continue
        if item["type"] in {"too_short", "too_long"} and _broken_below(errors, item["loc"]):
            continue  # pydantic counts only the good entries
        if item["type"] == "value_error":
            place, wrong, right = contradiction(item["msg"], path, document)
            add(place, wrong, right)
            continue
        wrong, right = _sentence(
            item["type"], item["msg"], document.value(path), view.describe(path, document)
        )
        unit = quantity_unit(path, document)
        if unit and isinstance(document.value(path), (int, float)):
            wrong = wrong.replace(" is ", f" {unit} is ", 1)
        if not any(p.where == path_text(path) for p in found):
            add(path, wrong, right)
    return sorted(found, key=lambda p: (p.line or 0, p.where))
