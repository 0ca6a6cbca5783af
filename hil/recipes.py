"""Recipes of the PLC: what it can load, when, and what that does to it.

=====================================  ==========================  ===============================
the recipe is of                       it is loaded                then
=====================================  ==========================  ===============================
the product and parameters in use      in LOCAL                    RECIPE_ID shows it; no set point
                                                                   moves, tablets go on being judged
the same product, other parameters     in LOCAL, line idle         set points, ranges and tuning
                                                                   are its own
another product                        in LOCAL, line idle, with   so is everything else; diverts
                                       the cleaning stated         until the material is proven
=====================================  ==========================  ===============================

Idle is stopped and cleared, so that nobody parametrises a line that runs or holds a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hil.cleaning import CLEANING, wash_out
from hil.plc.parameters import plc_parameters
from hil.plc.state import ForceState, PlcState, ProofState, initial_state
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import LineState, PlcMode, SignalTable

__all__ = ["Loading", "Recipe", "loading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the PLC can load: its id, and the line as it is set up for it.

    ``carry_over`` is the largest share [-] of the product before in a released tablet.
    """

    recipe_id: str
    line: ResolvedLine
    carry_over: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What a load makes of the PLC. ``product`` says whether it is another one."""

    recipe: Recipe
    state: PlcState
    product: bool


def loading(
    recipes: Mapping[str, Recipe],
    loaded: Recipe,
    state: PlcState,
    wanted: str,
    cleaning: str,
    reason: str,
) -> Loading | str:
    """What loading ``wanted`` makes of the PLC, or why it is refused.

    Parameters
    ----------
    recipes
        Those that the PLC can load, by id.
    loaded, state
        The recipe and the state of the PLC now.
    wanted
        Id of a recipe.
    cleaning
        How the line was cleaned (`hil.cleaning.CLEANING`); only another product needs it.
    reason
        Why, for the record.
    """
    if not reason.strip():
        return "a reason is needed"
    recipe = recipes.get(wanted)
    if recipe is None:
        known = ", ".join(sorted(recipes)) or "none"
        return f"there is no recipe {wanted!r}; the PLC can load {known}"
    if recipe.recipe_id == loaded.recipe_id:
        return f"{wanted} is loaded already"
    if state.lease.mode is not PlcMode.LOCAL:
        return f"the PLC is in {state.lease.mode.value}: a recipe is loaded in LOCAL"
    table, before = signal_table(recipe.line.line), signal_table(loaded.line.line)
    if _forms(table) != _forms(before):
        return f"{wanted} is for a line with other signals"
    parameters = plc_parameters(recipe.line, table, recipe.recipe_id)
    product = recipe.line.product.recipe_id != loaded.line.product.recipe_id
    if not product and parameters == plc_parameters(loaded.line, before, recipe.recipe_id):
        return Loading(recipe=recipe, state=state, product=False)
    line = state.sequence.line
    if line is not LineState.IDLE:
        return (
            f"the line is {line.value}: other parameters are loaded while it is idle; stop and "
            "clear it first"
        )
    proof = state.proof
    if product:
        if cleaning not in CLEANING:
            return f"cleaning is one of {', '.join(CLEANING)}, not {cleaning!r}"
        required = wash_out(recipe.line, CLEANING[cleaning], recipe.carry_over)
        proof = ProofState(proven=False, required=required)
    fresh = replace(
        initial_state(parameters),
        heartbeat=state.heartbeat,
        lease=state.lease,
        diverter=state.diverter,
        proof=proof,
        force=ForceState(revolution=0 if product else state.force.revolution),
    )
    return Loading(recipe=recipe, state=fresh, product=product)


def _forms(table: SignalTable) -> list[tuple[str, str, str]]:
    """What stays when a recipe is loaded: tags, types and units, not ranges."""
    return [(s.tag, s.data_type.value, s.unit) for s in table]
