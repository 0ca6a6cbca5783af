"""A candidate model in shadow: it estimates beside the active one, is compared, and plans nothing.

Both are judged by what neither knew when it spoke: an at-line sample comes back minutes after it
was taken, and is compared with what each of them said of the tablets of that moment. Errors are
relative. The comparison begins when the candidate has met its first samples and has converged:
until then it learns what the active one knew before. Nothing of the candidate reaches the plan: its
step is asked for in OFF, and whatever plan an algorithm makes all the same is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from controller.brain import Brain
from controller.data import CV, Estimate, Interval, LabSample, Mode, Targets, Validated
from controller.products_config import ProductsConfig
from plant_models.quality import tensile_strength_from_breaking_force

__all__ = ["COMPARED", "Errors", "Figures", "Said", "ShadowState", "shadow_step", "verdict"]

COMPARED: tuple[CV, ...] = (CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH)


@dataclass(frozen=True, slots=True)
class Errors:
    """Sums over comparisons: relative errors, their squares, how many lay in the interval."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    inside: int = 0

    @property
    def rms(self) -> float:
        """Root mean square [-]; NaN before the first."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def mean(self) -> float:
        """Mean [-]; NaN before the first."""
        return self.total / self.count if self.count else math.nan

    @property
    def coverage(self) -> float:
        """Share of the comparisons inside the 95 % interval; NaN before the first."""
        return self.inside / self.count if self.count else math.nan

    def plus(self, said: Interval, seen: float, spread: float) -> Errors:
        """With one more: what was said, what was seen, 95 % half-width of what was seen."""
        error = said.mean / seen - 1.0
        near = abs(said.mean - seen) <= math.hypot(said.half_width, spread)
        return Errors(
            self.count + 1, self.total + error, self.squares + error * error, self.inside + near
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """How a model did: cycles, those in which it had converged, errors by variable."""

    cycles: int = 0
    converged: int = 0
    errors: Mapping[str, Errors] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What both models said of the tablets made at ``time`` [s, UTC], by variable."""

    time: float
    active: Mapping[str, Interval]
    candidate: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowState:
    """A candidate between cycles.

    It runs since ``since`` [s, UTC] and is compared after ``run_in`` cycles, in which it met
    ``learnt_from`` samples. ``failed`` says why it no longer runs; empty while it does.
    """

    set_hash: str
    brain: Any
    since: float
    run_in: int = 0
    learnt_from: int = 0
    active: Figures = Figures()
    candidate: Figures = Figures()
    history: tuple[Said, ...] = ()
    failed: str = ""


def shadow_step(
    state: ShadowState,
    brain: Brain,
    validated: Validated,
    estimate: Estimate | None,
    targets: Targets,
    *,
    diameter: float,
    config: ProductsConfig,
    deadline_s: float,
) -> ShadowState:
    """One cycle of the candidate, after the active one's.

    Parameters
    ----------
    state
        After the cycle before; a candidate that has failed stays where it is.
    brain
        The candidate.
    validated
        Data of this cycle, the same as the active one's.
    estimate
        The active one's of this cycle.
    targets
        Set points.
    diameter
        Of the tablet [m].
    config
        How far back samples reach.
    deadline_s
        Wall time left.
    """
    if state.failed:
        return state
    try:
        step = brain.step(state.brain, validated, Mode.OFF, targets, deadline_s)
    except (ArithmeticError, RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        return replace(state, failed=f"{type(error).__name__}: {error}", history=())
    converged = step.estimate is not None and step.estimate.converged
    learns = not converged or state.learnt_from < config.run_in_samples
    if not state.candidate.cycles and learns:
        learnt_from = state.learnt_from + len(validated.samples)
        return replace(state, brain=step.state, run_in=state.run_in + 1, learnt_from=learnt_from)
    said = Said(validated.time, _quality(estimate), _quality(step.estimate))
    history = tuple(
        s for s in (*state.history, said) if validated.time - s.time <= config.history_s
    )
    active = _counted(state.active, estimate)
    candidate = _counted(state.candidate, step.estimate)
    for sample in validated.samples:
        then = min(history, key=lambda s: abs(s.time - sample.taken))
        if abs(then.time - sample.taken) > _apart(history):
            continue
        if any(name not in then.active or name not in then.candidate for name in COMPARED):
            continue
        active = _compared(active, then.active, sample, diameter)
        candidate = _compared(candidate, then.candidate, sample, diameter)
    return replace(state, brain=step.state, active=active, candidate=candidate, history=history)


def _apart(history: tuple[Said, ...]) -> float:
    """How far [s] a sample may lie from the nearest cycle: the longest gap of late."""
    return max((b.time - a.time for a, b in pairwise(history[-12:])), default=0.0)


def _quality(estimate: Estimate | None) -> dict[str, Interval]:
    if estimate is None:
        return {}
    return {str(name): estimate.quality[name] for name in COMPARED if name in estimate.quality}


def _counted(figures: Figures, estimate: Estimate | None) -> Figures:
    converged = estimate is not None and estimate.converged
    return replace(figures, cycles=figures.cycles + 1, converged=figures.converged + int(converged))


def _compared(
    figures: Figures, said: Mapping[str, Interval], sample: LabSample, diameter: float
) -> Figures:
    strengths = [
        float(tensile_strength_from_breaking_force(force, diameter, thickness))
        for force, thickness in zip(sample.forces, sample.thicknesses, strict=True)
    ]
    errors = dict(figures.errors)
    for name, values in ((CV.TABLET_WEIGHT, sample.weights), (CV.TENSILE_STRENGTH, strengths)):
        mean = sum(values) / len(values)
        if mean <= 0.0:
            continue
        variance = sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)
        spread = 1.96 * math.sqrt(variance / len(values))
        errors[name.value] = errors.get(name.value, Errors()).plus(said[name], mean, spread)
    return replace(figures, errors=errors)


def verdict(state: ShadowState, config: ProductsConfig) -> tuple[bool, str]:
    """Whether the candidate may be promoted, and the figures that say so."""
    if state.failed:
        return False, f"the candidate failed: {state.failed}"
    if not state.candidate.cycles and state.learnt_from < config.run_in_samples:
        return False, f"it has learnt from {state.learnt_from} of {config.run_in_samples} samples"
    if not state.candidate.cycles:
        return False, f"the candidate has not converged within {state.run_in} cycles"
    if state.candidate.cycles < config.least_cycles:
        return False, f"{state.candidate.cycles} of {config.least_cycles} cycles in shadow"
    if state.candidate.converged < state.active.converged:
        return False, (
            f"the candidate had converged in {state.candidate.converged} cycles, the active "
            f"model in {state.active.converged}"
        )
    texts, good = [], True
    for name in COMPARED:
        ours = state.active.errors.get(name.value, Errors())
        theirs = state.candidate.errors.get(name.value, Errors())
        if theirs.count < config.least_samples:
            return False, f"{theirs.count} of {config.least_samples} samples of {name.value}"
        good = good and theirs.rms <= ours.rms * (1.0 + config.equal_percent / 100.0)
        texts.append(f"{name.value}: {100.0 * theirs.rms:.2f} % against {100.0 * ours.rms:.2f} %")
    return good, f"error {', '.join(texts)} ({'' if good else 'not '}better or equal)"
