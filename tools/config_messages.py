"""Turns what a model's validators say into a place, what is wrong and what would be right.

A validator sees several fields at once and says one sentence. Here the field is found that the
sentence is about, and the sentence is split into the defect and its remedy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tools.yaml_paths import Document

__all__ = ["contradiction"]

Path_ = tuple[str | int, ...]

# What is said -> what is wrong, what would be right. {lo} and {hi} come from the document.
_SENTENCES: tuple[tuple[str, str, str], ...] = (
    (
        r"(.*): the lower value (\S+) must be below the upper (\S+)",
        r"\1: the lower value \2 is not below the upper \3",
        r"a lower value below \3, or an upper value above \2",
    ),
    (
        r"(.*) lies outside (?:its limits )?(\+?-?[\d.e+-]+)\.\.(\S+)",
        r"\1 is not between \2 and \3",
        r"a value between \2 and \3, or wider limits",
    ),
    (
        r"(.*) lies outside its range",
        r"\1 is outside {lo} to {hi}",
        r"a value from {lo} to {hi}, or a wider range",
    ),
    (r"(.*) lies outside \+-(\S+)", r"\1 is outside ±\2", r"at most \2 either way"),
    (
        r"feeders: exactly one must have role (\w+), found (\d+)",
        r"\2 feeders have role \1",
        r"exactly one feeder with role \1",
    ),
    (
        r"manipulated: missing \[(.*)\], unknown \[\]; the line has exactly .*",
        r"\1 is missing",
        r"an entry for every manipulated variable of the line, also for \1",
    ),
    (
        r"manipulated: missing \[(.*)\], unknown \[(.*)\]; the line has exactly (.*)",
        r"\2 is no manipulated variable of the line; missing: \1",
        r"exactly \3",
    ),
    (
        r"(\S+) (\S+) must not exceed (.*)",
        r"\1 is \2, above \3",
        r"at most \3",
    ),
    (r"(\S+) must not be below (.*)", r"\1 is below \2", r"a value at or above \2"),
    (
        r"compaction: kawakita_a must be (.*), else (.*)",
        r"with this kawakita_a \2",
        r"a kawakita_a \1",
    ),
    (
        r"(.*) leave no room for the filler",
        r"\g<0>",
        r"shares of API and lubricant that sum up to less than 100 %",
    ),
    (
        r"(arma_phi .*) is not stationary",
        r"\g<0>: the noise would grow without bound",
        r"|phi2| < 1, phi1 + phi2 < 1 and phi2 - phi1 < 1",
    ),
    (r"(.*) needs at least (.*)", r"\1 needs at least \2, which is more", r"at least \2"),
    (r"(.*): lo (\S+) must be below hi (\S+)", r"\1: \2 is not below \3", r"lo below hi"),
    (r"(.*: )?(.*) must differ", r"\2 occur twice", r"\2 that differ"),
    (r"(\w+) must not be ([\d.]+), else .*", r"\g<0>", r"a \1 other than \2"),
    (r"(.*); (.*)", r"\1", r"\2"),
    (r"(.*?) must (.*)", r"\g<0>", r"must \2"),
)
_COMPILED = [(re.compile(said, re.DOTALL), wrong, right) for said, wrong, right in _SENTENCES]


def contradiction(message: str, path: Path_, document: Document) -> tuple[Path_, str, str]:
    """Place, what is wrong and what would be right, from a validator's message about ``path``."""
    said = " ".join(message.removeprefix("Value error, ").split())
    try:
        here = document.value(path)
    except LookupError:
        here = None
    fields: Mapping[str, Any] = here if isinstance(here, dict) else {}
    place = (*path, *_field(said, fields))
    for pattern, wrong, right in _COMPILED:
        if match := pattern.fullmatch(said):
            bounds = {"{lo}": fields.get("lo"), "{hi}": fields.get("hi")}
            parts = [match.expand(wrong), match.expand(right)]
            for mark, value in bounds.items():
                parts = [p.replace(mark, f"{value}") for p in parts]
            return place, parts[0], parts[1]
    return place, said, "values that do not contradict each other"


def _field(said: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The field that a sentence is about: the first it names, else the one with its number."""
    for word in re.findall(r"[a-z_]\w*", said):
        if word in fields:
            return (word,)
    for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", said):
        for name, value in fields.items():
            if isinstance(value, (int, float)) and f"{value:g}" == number:
                return (name,)
    return ()
