"""A product set with everything that it refers to, its hash, and what the plant must show for it.

The hash is over what the files say together, not over the files: equipment, product, blend and
components as they are used (the set's own settings applied), specifications, ranges, calibrations,
tooling, and the tuning of the set's controllers. Paths and formatting do not count, everything
else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.config import ControllerConfig
from controller.products.canonical import digest
from controller.products_config import ProductSetConfig
from plant_models.line import ResolvedLine

__all__ = [
    "ProductBinding",
    "ProductSet",
    "Range",
    "as_facts",
    "binding",
    "from_facts",
    "make_product_set",
    "product_line",
    "tuning_of",
]

Range = tuple[float | None, float | None]

# Of a controller: what is its own or the site's, not the product's.
_NOT_TUNING = {"kind", "schema_", "name", "line", "link", "supervision", "product_set"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSet:
    """A product set, resolved.

    ``line`` is the line as it is set up for the product; ``tuning`` the digest of each
    controller's tuning by the controller's name and ``controllers`` their settings (none where the
    set was read from a record); ``content`` what ``hash`` is made from. ``filed`` and ``normal``
    are ranges by MV tag in the line's plant units.
    """

    config: ProductSetConfig
    line: ResolvedLine
    tuning: Mapping[str, str]
    content: Mapping[str, Any] = field(repr=False)
    hash: str
    controllers: Mapping[str, ControllerConfig] = field(default_factory=dict, repr=False)

    @property
    def recipe_id(self) -> str:
        """What the PLC shows as RECIPE_ID when it has loaded this set."""
        return f"{self.line.product.recipe_id}@{self.hash}"

    @property
    def filed(self) -> dict[str, Range]:
        """Registered ranges."""
        return {tag: (zone.lo, zone.hi) for tag, zone in self.config.filed.items()}

    @property
    def normal(self) -> dict[str, Range]:
        """Normal operating ranges."""
        return {tag: (zone.lo, zone.hi) for tag, zone in self.config.normal.items()}

    @property
    def label(self) -> str:
        """Name, version and hash, for people."""
        return f"{self.config.name} version {self.config.version} ({self.hash})"

    def settings(self, running: ControllerConfig) -> ControllerConfig:
        """The set's tuning of a controller, with the links and rules of the ``running`` one."""
        own = {"line", "link", "supervision", "product_set"}
        update = {name: getattr(running, name) for name in own}
        return self.controllers[running.name].model_copy(update=update)

    def same_product(self, other: ProductSet) -> bool:
        """Whether the other set makes the same product: then only models or tuning differ."""
        return self.line.product.recipe_id == other.line.product.recipe_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductBinding:
    """The set that a run is bound to.

    ``recipe_id_wanted`` is what the PLC must show; ``objection`` says why CLOSED_LOOP is refused
    with this set whatever the PLC shows, empty if it is not.
    """

    hash: str
    recipe_id_wanted: str
    name: str
    version: int
    objection: str = ""


def product_line(config: ProductSetConfig, line: ResolvedLine) -> ResolvedLine:
    """The line set up for the product of ``config``; ``line`` already has product and blend."""
    own = {mv.tag: mv for mv in config.manipulated}
    if not own and config.press is None:
        return line
    update: dict[str, Any] = {
        "manipulated": tuple(own.get(mv.tag, mv) for mv in line.line.manipulated)
    }
    if config.press is not None:
        update["press"] = line.line.press.model_copy(update=config.press.model_dump())
    return replace(line, line=line.line.model_copy(update=update))


def tuning_of(controller: ControllerConfig) -> dict[str, Any]:
    """What of a controller belongs to the product: neither its links nor the rules of the site."""
    return controller.model_dump(mode="json", by_alias=True, exclude=_NOT_TUNING)


def make_product_set(
    config: ProductSetConfig, line: ResolvedLine, controllers: Iterable[ControllerConfig]
) -> ProductSet:
    """Resolve a set.

    Parameters
    ----------
    config
        What its file says.
    line
        The equipment with the set's product, blend and components, before the set's settings.
    controllers
        Those that the set names.
    """
    ready, controllers = product_line(config, line), tuple(controllers)
    tuning = {c.name: digest(tuning_of(c)) for c in controllers}
    content = {
        "set": config.model_dump(
            mode="json",
            by_alias=True,
            exclude={"line", "product", "controllers", "manipulated", "press"},
        ),
        "line": ready.line.model_dump(
            mode="json",
            by_alias=True,
            exclude={"product": True, "feeders": {"__all__": {"material"}}},
        ),
        "product": ready.product.model_dump(mode="json", by_alias=True, exclude={"blend"}),
        "blend": ready.blend.model_dump(mode="json", by_alias=True),
        "components": [c.model_dump(mode="json", by_alias=True) for c in ready.components],
        "tuning": tuning,
    }
    return ProductSet(
        config=config,
        line=ready,
        tuning=tuning,
        content=content,
        hash=digest(content),
        controllers={c.name: c for c in controllers},
    )


def as_facts(product: ProductSet) -> dict[str, Any]:
    """What has to be kept of a set, beside the line, to make it again with `from_facts`."""
    return {
        "config": product.config.model_dump(mode="json", by_alias=True),
        "tuning": dict(product.tuning),
        "content": dict(product.content),
    }


def from_facts(facts: Mapping[str, Any], line: ResolvedLine) -> ProductSet:
    """The set that was kept; ``line`` is the line of that run."""
    return ProductSet(
        config=ProductSetConfig.model_validate(facts["config"]),
        line=line,
        tuning=facts["tuning"],
        content=facts["content"],
        hash=digest(facts["content"]),
    )


def binding(product: ProductSet, conflicts: Mapping[str, str] | None = None) -> ProductBinding:
    """What a run must remember of its set.

    Parameters
    ----------
    product
        The set.
    conflicts
        MVs whose limits do not overlap now, with the reason (`controller.products.limits`).
    """
    config = product.config
    objection = "; ".join((conflicts or {}).values())
    if config.status != "approved":
        objection = f"{config.name} version {config.version} is {config.status}, not approved"
    return ProductBinding(
        hash=product.hash,
        recipe_id_wanted=product.recipe_id,
        name=config.name,
        version=config.version,
        objection=objection,
    )
