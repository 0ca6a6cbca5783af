"""Describes in words what a configuration model accepts at a place, for error messages."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

from tools.yaml_paths import Document

__all__ = ["SchemaView", "quantity_unit"]

Path_ = tuple[str | int, ...]

# Suffix of a field name -> unit; the longest that fits counts.
_SUFFIXES = {
    "kg_m3": "kg/m3",
    "kg_h": "kg/h",
    "g_rev": "g/rev",
    "um_per_kn": "µm/kN",
    "mg_per_kn": "mg/kN",
    "per_rev": "1/rev",
    "per_kg": "1/kg",
    "per_hour": "1/h",
    "per_h": "1/h",
    "per_s": "1/s",
    "percent_per_decade": "% per decade",
    "percent_per_hour": "%/h",
    "percent": "%",
    "kg_s": "kg/s",
    "mm2": "mm2",
    "mpa": "MPa",
    "rpm": "rpm",
    "kn": "kN",
    "kg": "kg",
    "mg": "mg",
    "mm": "mm",
    "um": "µm",
    "ms": "ms",
    "min": "min",
    "minutes": "min",
    "hours": "h",
    "g": "g",
    "n": "N",
    "s": "s",
}


def _unit_of_name(name: str) -> str:
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if name.endswith(f"_{suffix}"):
            return _SUFFIXES[suffix]
    return ""


def quantity_unit(path: Path_, document: Document) -> str:
    """Unit of the number at ``path``: from its name, its parent's name, or a sibling `unit`."""
    for step in reversed([s for s in path if isinstance(s, str)][-2:]):
        if unit := _unit_of_name(step):
            return unit
    try:
        sibling = document.value((*path[:-1], "unit"))
    except LookupError:
        return ""
    return sibling if isinstance(sibling, str) and path[-1:] != ("unit",) else ""


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, mode="validation")


class SchemaView:
    """Walks the JSON schema of a model along paths of a document."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._root = _schema(model)

    def keys(self, path: Path_) -> list[str]:
        """Keys that are known at ``path``, in the order of the model."""
        found: dict[str, None] = {}
        for branch in self._at(path):
            found.update(dict.fromkeys(branch.get("properties", {})))
        return list(found)

    def describe(self, path: Path_, document: Document) -> str:
        """What would be right at ``path``, in words."""
        words = [w for b in self._at(path) if (w := self._words(b, quantity_unit(path, document)))]
        return " or ".join(dict.fromkeys(words)) or "a value that the documentation allows"

    def _resolve(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            return self._resolve(self._root["$defs"][name])
        for word in ("anyOf", "oneOf", "allOf"):
            if word in schema:
                return [b for part in schema[word] for b in self._resolve(part)]
        return [schema]

    def _at(self, path: Path_) -> list[dict[str, Any]]:
        here = self._resolve(self._root)
        for step in path:
            there: list[dict[str, Any]] = []
            for branch in here:
                if isinstance(step, int):
                    items = branch.get("prefixItems", [])
                    part = items[step] if step < len(items) else branch.get("items")
                else:
                    part = branch.get("properties", {}).get(step)
                    part = part or branch.get("additionalProperties")
                if isinstance(part, dict):
                    there += self._resolve(part)
            here = there
        return here

    def _words(self, schema: dict[str, Any], unit: str) -> str:
        if "const" in schema:
            return repr(schema["const"])
        if "enum" in schema:
            return "one of " + ", ".join(repr(v) for v in schema["enum"])
        kind = schema.get("type")
        if kind in {"number", "integer"}:
            noun = "a whole number" if kind == "integer" else "a number"
            return noun + _range_words(schema) + (f" ({unit})" if unit else "")
        if kind == "string":
            if "pattern" in schema:
                return f"text of the form {schema['pattern']}"
            return "text that is not empty" if schema.get("minLength") else "text"
        if kind == "boolean":
            return "true or false"
        if kind == "array":
            low, high = schema.get("minItems"), schema.get("maxItems")
            size = f" of {low or 0} to {high}" if high else f" of at least {low}" if low else ""
            return f"a list{size}"
        if kind == "object":
            needed = schema.get("required", [])
            return "a mapping with " + ", ".join(needed) if needed else "a mapping"
        return ""


def _range_words(schema: dict[str, Any]) -> str:
    parts = []
    for word, text in (
        ("exclusiveMinimum", "above"),
        ("minimum", "at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "at most"),
    ):
        if word in schema:
            parts.append(f"{text} {schema[word]:g}")
    return " " + " and ".join(parts) if parts else ""
