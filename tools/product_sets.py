"""Product sets where plant and controller are started: which a run has, which it may load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from controller.config import ControllerConfig
from controller.products.sets import ProductSet
from hil.recipes import Recipe
from tools.config_errors import ConfigError
from tools.config_product_sets import unbound
from tools.configuration import load_product_set

__all__ = ["known_sets", "recipe_of", "recipes_beside", "set_of_controller", "set_of_line"]

log = logging.getLogger(__name__)


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
