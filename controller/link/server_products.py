"""What the controller's server shows of the product set in force and of a candidate in shadow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.link.server_values import VARIABLE_UNITS, Quantity, Values, moment, quantity
from controller.products.sets import ProductBinding

__all__ = ["product_values"]

# Figures of a comparison in the order of the record, shown of both models.
_FIGURES = (("Error", "%"), ("Bias", "%"), ("Coverage", "%"))


def product_values(bound: ProductBinding | None, extra: Mapping[str, Any]) -> Values:
    """The set that the run is bound to, and the candidate's figures from the record of the cycle.

    Parameters
    ----------
    bound
        The set in force, if the run has one.
    extra
        Of the record; ``shadow`` is what `controller.products.watch.shadow_record` made.
    """
    if bound is None:
        return {}
    values: Values = {
        "Product/Name": bound.name,
        "Product/Version": bound.version,
        "Product/Hash": bound.hash,
        "Product/RecipeIdWanted": bound.recipe_id_wanted,
    }
    return values | _shadow(extra.get("shadow"))


def _shadow(shown: Mapping[str, Any] | None) -> Values:
    if shown is None:
        return {}
    promoted, text = shown["verdict"]
    active, candidate = shown["converged"]
    values: Values = {
        "Product/Shadow/Hash": shown["set"],
        "Product/Shadow/Since": moment(shown["since"]),
        "Product/Shadow/RunInCycles": shown["run_in"],
        "Product/Shadow/Cycles": shown["cycles"],
        "Product/Shadow/ConvergedActive": active,
        "Product/Shadow/ConvergedCandidate": candidate,
        "Product/Shadow/Failed": shown["failed"],
        "Product/Shadow/MayBePromoted": promoted,
        "Product/Shadow/Verdict": text,
    }
    for name, (mean, half_width) in shown["said"].items():
        path, unit = f"Product/Shadow/{name}", VARIABLE_UNITS.get(name, "")
        values[f"{path}/Value"] = quantity(mean, unit)
        values[f"{path}/Low"] = quantity(mean - half_width, unit)
        values[f"{path}/High"] = quantity(mean + half_width, unit)
    for name, (count, *pairs) in shown["errors"].items():
        path = f"Product/Shadow/{name}"
        values[f"{path}/Samples"] = count
        for (figure, unit), pair in zip(_FIGURES, pairs, strict=True):
            for model, value in zip(("Active", "Candidate"), pair, strict=True):
                values[f"{path}/{figure}{model}"] = Quantity(100.0 * value, unit)
    return values
