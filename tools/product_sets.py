"""Product sets where plant and controller are started: which a run has, which it may load."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.config import ControllerConfig
from controller.products.sets import ProductSet
from hil.recipes import Recipe
from tools.config_errors import ConfigError
from tools.config_product_sets import unbound
from tools.configuration import load_product_set
from tools.rundir import RunDir

__all__ = [
    "Bound",
    "bind",
    "bound_in",
    "known_sets",
    "recipe_of",
    "recipes_beside",
    "set_of_controller",
    "set_of_line",
]

log = logging.getLogger(__name__)

_BOUND = "product_set.json"


@dataclass(frozen=True, slots=True)
class Bound:
    """The set that people put in force in a run.

    ``named`` is the hash of the one that the controller was started with then, ``former`` are those
    in force before.
    """

    made: ProductSet
    named: str
    former: tuple[str, ...] = ()


def set_of_line(file: Path, line_file: Path | None) -> ProductSet:
    """The set of a plant.

    Parameters
    ----------
    file
        The set.
    line_file
        Line that was named beside it, which must be the set's; ``None`` if there was none.

    Raises ``ConfigError`` for a set that is not usable, ``ValueError`` for another line.
    """
    made = load_product_set(file)
    own = file.parent / made.config.line
    if line_file is not None and line_file.resolve() != own.resolve():
        raise ValueError(f"{file} is a set for {own}, not for {line_file}")
    return made


def recipe_of(made: ProductSet) -> Recipe:
    """What the PLC loads of a set."""
    carry_over = made.config.carry_over_max_percent / 100.0
    return Recipe(recipe_id=made.recipe_id, line=made.line, carry_over=carry_over)


def recipes_beside(file: Path) -> list[Recipe]:
    """What a PLC can load by command: the approved sets beside its own, for the same line."""
    own = load_product_set(file)
    equipment = (file.parent / own.config.line).resolve()
    return [
        recipe_of(made)
        for path, made in _sets_beside(file)
        if made.config.status == "approved"
        and (path.parent / made.config.line).resolve() == equipment
    ]


def set_of_controller(
    config: ControllerConfig, controller_file: Path, file: Path | None
) -> tuple[ProductSet | None, Path | None]:
    """The set that a controller runs with, and its file; ``None`` where it has none.

    ``file`` replaces the one that the controller names. Raises ``ConfigError`` for a set that is
    not usable, ``ValueError`` for one that does not hold this controller's tuning.
    """
    if file is None and config.product_set is not None:
        file = controller_file.parent / config.product_set
    if file is None:
        return None, None
    made = load_product_set(file)
    if wrong := unbound(config, made):
        raise ValueError(f"{file}: {wrong}")
    return made, file


def known_sets(config: ControllerConfig, file: Path) -> dict[str, ProductSet]:
    """Sets by hash that a running controller can load: those beside its own that know it by name.

    One that is not usable is left out, and the log says why.
    """
    sets = (made for _, made in _sets_beside(file))
    return {made.hash: made for made in sets if config.name in made.controllers}


def _sets_beside(file: Path) -> Iterator[tuple[Path, ProductSet]]:
    for path in sorted(file.parent.glob("*.yaml")):
        try:
            yield path, load_product_set(path)
        except ConfigError as error:
            log.warning("%s is left out: %s", path, error)


def bind(run: RunDir, bound: Bound) -> None:
    """Remember in the run which set is in force, for the next start of its controller."""
    made = bound.made
    facts = {
        "hash": made.hash,
        "set": made.label,
        "recipe_id": made.recipe_id,
        "named": bound.named,
        "former": list(bound.former),
    }
    part = run.path / f"{_BOUND}.{os.getpid()}.part"
    part.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    part.replace(run.path / _BOUND)


def bound_in(run: RunDir, named: ProductSet, known: Mapping[str, ProductSet]) -> Bound | None:
    """The set that people put in force in this run, if they did.

    Parameters
    ----------
    run
        The run.
    named
        Set that the controller is started with now. If it is neither the one that it was started
        with when people chose, nor what they chose, then it is meant to take their set's place.
    known
        Sets that the controller can load.

    Raises ``ValueError`` if the set is not among them any more.
    """
    try:
        facts = json.loads((run.path / _BOUND).read_text("utf-8"))
    except FileNotFoundError:
        return None
    if named.hash not in (facts["named"], facts["hash"]):
        log.warning("%s takes the place of %s, which was in force", named.label, facts["set"])
        return None
    if facts["hash"] not in known:
        raise ValueError(
            f"{run.path / _BOUND}: {facts['set']} is in force in this run, and it is not among the "
            "product sets beside the one named; put it there, name another set, or begin a new run"
        )
    return Bound(known[facts["hash"]], facts["named"], tuple(facts["former"]))
