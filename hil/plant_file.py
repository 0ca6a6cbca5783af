"""The saved plant: one JSON document in the folder of the run, written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.recipes import Recipe
from plant_models.line import ResolvedLine

__all__ = ["STATE_FILE", "Saved", "read_plant", "write_plant"]

STATE_FILE = "plant_state.json"
_SCHEMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A saved plant: its parts, the line whose product is on it, the recipe loaded by command."""

    parts: dict[str, Any]
    line: ResolvedLine
    recipe: Recipe | None


def write_plant(run_dir: Path, line: str, recipe: str, parts: dict[str, Any]) -> None:
    """Save a plant.

    Parameters
    ----------
    run_dir
        Folder of the run.
    line
        Digest of the line whose product is on it.
    recipe
        Id of the recipe that was loaded by command; empty if none was.
    parts
        JSON-able states.
    """
    document = {"schema": _SCHEMA, "line": line, "recipe": recipe, **parts}
    partial = run_dir / f"{STATE_FILE}.tmp"
    partial.write_text(json.dumps(document), encoding="utf-8")
    os.replace(partial, run_dir / STATE_FILE)


def read_plant(run_dir: Path, line: ResolvedLine, recipes: Iterable[Recipe]) -> Saved:
    """The plant saved in ``run_dir``.

    A recipe that was loaded by command stays loaded, whatever the plant is now started with.
    Raises ``ValueError`` if the plant is none of ``line`` and ``recipes``, or its recipe is not
    among them; ``FileNotFoundError`` if nothing was saved.
    """
    file = run_dir / STATE_FILE
    parts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    known = {recipe.recipe_id: recipe for recipe in recipes}
    lines = {line.digest(): line}
    wanted = parts.get("recipe")
    if wanted:
        lines |= {recipe.line.digest(): recipe.line for recipe in known.values()}
    if parts["schema"] != _SCHEMA or parts["line"] not in lines:
        raise ValueError(f"{file} was saved by another line or version")
    if wanted and wanted not in known:
        raise ValueError(
            f"{file} was saved with the recipe {wanted}, which is none of the product sets here"
        )
    return Saved(parts=parts, line=lines[parts["line"]], recipe=known[wanted] if wanted else None)
