"""The candidate beside the active model, cycle by cycle: started, run, or left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from controller.brain import Brain, Step
from controller.data import Targets, Validated
from controller.products.requests import ProductState
from controller.products.shadow import Errors, ShadowState, shadow_step, verdict
from controller.products_config import ProductsConfig

__all__ = ["Candidate", "shadow_record", "shadowed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is ready to run in shadow, and the hash of the set that it belongs to."""

    set_hash: str
    brain: Brain


def shadowed(
    state: ProductState,
    candidate: Candidate | None,
    validated: Validated | None,
    step: Step | None,
    targets: Targets,
    *,
    diameter: float,
    config: ProductsConfig,
    deadline_s: float,
) -> ProductState:
    """The state after the candidate's cycle; the same where no candidate runs.

    Parameters
    ----------
    state
        After this cycle's requests.
    candidate
        What was built for the shadow, if anything was.
    validated, step
        Data and the active model's step of this cycle; without either the candidate waits too.
    targets, diameter, config, deadline_s
        As for `shadow_step`.
    """
    if candidate is None or validated is None or step is None:
        return state
    shadow = state.shadow
    if state.wanted_shadow == candidate.set_hash:
        shadow = ShadowState(
            set_hash=candidate.set_hash, brain=candidate.brain.initial(), since=validated.time
        )
        state = replace(state, wanted_shadow="")
    if shadow is None or shadow.set_hash != candidate.set_hash:
        return state
    after = shadow_step(
        shadow,
        candidate.brain,
        validated,
        step.estimate,
        targets,
        diameter=diameter,
        config=config,
        deadline_s=deadline_s,
    )
    return replace(state, shadow=after)


def shadow_record(state: ProductState, config: ProductsConfig) -> dict[str, Any]:
    """What the candidate said in this cycle and how it did so far, in plain data; {} without one.

    ``said`` holds mean and 95 % half-width by variable, ``errors`` by variable the number of
    comparisons, and for the active model and the candidate (in this order) the root mean square,
    the mean and the share inside the interval. ``verdict`` is whether it may be promoted, and why.
    """
    shadow = state.shadow
    if shadow is None:
        return {}
    ours, theirs = shadow.active.errors, shadow.candidate.errors
    said = shadow.history[-1].candidate if shadow.history else {}
    return {
        "shadow": {
            "set": shadow.set_hash,
            "since": shadow.since,
            "run_in": shadow.run_in,
            "cycles": shadow.candidate.cycles,
            "converged": [shadow.active.converged, shadow.candidate.converged],
            "failed": shadow.failed,
            "said": {name: [x.mean, x.half_width] for name, x in said.items()},
            "errors": {n: [theirs[n].count, *_figures(ours[n], theirs[n])] for n in theirs},
            "verdict": list(verdict(shadow, config)),
        }
    }


def _figures(ours: Errors, theirs: Errors) -> list[list[float]]:
    return [[ours.rms, theirs.rms], [ours.mean, theirs.mean], [ours.coverage, theirs.coverage]]
