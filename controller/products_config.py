"""Configuration of product sets (``kind: product_set``), and of how a candidate must prove itself.

Models only; whoever reads the YAML files resolves the references.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from plant_models.config import ManipulatedConfig, Positive, StrictModel, ZoneConfig

__all__ = ["PressSettings", "ProductSetConfig", "ProductsConfig"]

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class ProductsConfig(StrictModel):
    """When a candidate model may replace the active one (section ``supervision.products``).

    It first learns from ``run_in_samples`` at-line samples that do not count, because the active
    model has met more of them. Then it has been compared for ``least_cycles`` and with
    ``least_samples``, and the root mean square of its errors is at most ``equal_percent`` above the
    active model's. ``history_s`` is how long a sample may take to come back from the laboratory.
    """

    run_in_samples: Annotated[int, Field(ge=0, le=100)] = 2
    least_cycles: Count = 360
    least_samples: Count = 5
    equal_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 2.0
    history_s: Annotated[float, Field(ge=60.0, le=7200.0)] = 1200.0


class PressSettings(StrictModel):
    """Gaps of the rolls that a product wants instead of the line's."""

    thickness_mm: Positive
    pre_thickness_mm: Positive


class ProductSetConfig(StrictModel):
    """Everything that is bound to a product, under one version.

    ``line``, ``product`` and ``controllers`` are paths: the equipment, what is made on it, and the
    controllers whose tuning belongs to the set. ``filed`` are the registered ranges of MVs,
    ``normal`` the normal operating ranges within them, both by tag in the line's plant units; an
    MV that is not named has no limit here. ``manipulated`` and ``press`` replace the line's
    entries for this product. ``calibrations`` are the ids in force by instrument, ``tooling``
    names the punches and dies. ``carry_over_max_percent`` is how much of the product made before a
    tablet may hold.
    """

    kind: Literal["product_set"]
    schema_: Literal[1] = Field(alias="schema")
    name: Text
    version: Annotated[int, Field(ge=1)]
    status: Literal["draft", "approved", "retired"]
    line: str
    product: str
    controllers: Annotated[tuple[str, ...], Field(min_length=1)]
    tooling: Text
    carry_over_max_percent: Annotated[float, Field(gt=0.0, lt=100.0)] = 0.1
    calibrations: Annotated[dict[str, Text], Field(min_length=1)]
    filed: dict[str, ZoneConfig]
    normal: dict[str, ZoneConfig]
    manipulated: tuple[ManipulatedConfig, ...] = ()
    press: PressSettings | None = None
