"""YAML to plain data, with the line of every entry; strict and safe against hostile files.

Of YAML only what a configuration needs is taken: mappings with text keys, lists and scalars in the
core schema of YAML 1.2 (``off`` is text, ``1e-3`` a number). Refused, with the line: duplicate
keys, anchors and aliases, explicit tags, several documents, deep nesting, large files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

__all__ = ["Document", "YamlProblem", "parse_yaml", "path_text", "read_yaml"]

LARGEST_FILE_BYTES = 262_144
DEEPEST_NESTING = 20

Path_ = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class YamlProblem(ValueError):
    """A file that is not acceptable YAML: where, in which line, what is wrong, what is right."""

    def __init__(self, wrong: str, right: str, line: int | None = None, path: Path_ = ()) -> None:
        super().__init__(f"{wrong}; {right}")
        self.wrong, self.right, self.line, self.path = wrong, right, line, path


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data of one file and the line (from 1) of each of its entries."""

    data: Any
    lines: Mapping[Path_, int]

    def line(self, path: Path_) -> int | None:
        """Line of the entry, or of the nearest one above it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def value(self, path: Path_) -> Any:
        """Entry at ``path``; raises ``LookupError`` where there is none."""
        found = self.data
        for step in path:
            if isinstance(found, dict if isinstance(step, str) else list):
                found = cast(Any, found)[step]
            else:
                raise LookupError(path_text(path))
        return found


def path_text(path: Path_) -> str:
    """Path as text, such as ``feeders[1].refill_to_percent``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "(whole file)"


def read_yaml(file: Path) -> Document:
    """Read and parse a file; raises `YamlProblem`."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise YamlProblem(
            f"the file cannot be read: {reason}", "an existing, readable YAML file"
        ) from error
    if len(raw) > LARGEST_FILE_BYTES:
        raise YamlProblem(
            f"the file is larger than {LARGEST_FILE_BYTES // 1024} KiB",
            "a configuration, which is much smaller; data belong into other files",
        )
    return parse_yaml(raw)


def parse_yaml(raw: bytes) -> Document:
    """Parse the bytes of a file; raises `YamlProblem`."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlProblem(
            f"byte {error.start} is not UTF-8 text",
            "a text file saved as UTF-8",
            line=raw.count(b"\n", 0, error.start) + 1,
        ) from error
    try:
        _refuse_unwanted(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(
            f"not valid YAML: {error.problem or error.context}",
            "YAML with consistent indentation, closed quotes and brackets",
            line=mark.line + 1 if mark else None,
        ) from error
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise YamlProblem(f"not valid YAML: {first}", "plain text without control codes") from error
    lines: dict[Path_, int] = {}
    if node is None:
        raise YamlProblem("the file is empty", "a configuration that starts with 'kind:'", line=1)
    return Document(_build(node, (), lines), lines)


def _refuse_unwanted(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = None if event.start_mark is None else event.start_mark.line + 1
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlProblem("anchors and aliases are not allowed", "the value written out", line)
        if tag is not None:
            raise YamlProblem(f"the tag {tag!r} is not allowed", "a plain value", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST_NESTING:
                raise YamlProblem(
                    f"nested deeper than {DEEPEST_NESTING} levels", "fewer levels", line
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _build(node: yaml.Node, path: Path_, lines: dict[Path_, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_entries(node, path, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), lines) for i, item in enumerate(node.value)]
    return _scalar(node, path)


def _entries(
    node: yaml.MappingNode, path: Path_, lines: dict[Path_, int]
) -> Iterator[tuple[str, Any]]:
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        word = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        if not word or not word.isprintable():
            raise YamlProblem("a key is not a word", "keys that are plain text", line, path)
        key = str(word)
        here = (*path, key)
        if here in lines:
            raise YamlProblem(
                f"the key {key!r} occurs twice (first in line {lines[here]})",
                "one of the two entries",
                line,
                here,
            )
        lines[here] = line
        yield key, _build(value_node, here, lines)


def _scalar(node: yaml.Node, path: Path_) -> str | int | float | bool | None:
    text = str(node.value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        line = None if node.start_mark is None else node.start_mark.line + 1
        raise YamlProblem("half a character (a lone surrogate)", "Unicode text", line, path)
    if getattr(node, "style", None) is not None:
        return text
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 0)
    if len(text) <= 64 and _FLOAT.fullmatch(text):
        return float(text)
    return text
