"""The PLC's own loops with an operator who sets the press once: for orientation, not an opponent.

The operator weighs and breaks two at-line samples after start-up, sets force and thickness so that
weight and strength come out at their set points, and leaves the press alone. The rule is the
internal model's: mean deviation of the samples, inverse of the press equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from controller.baselines.internal_model import OperatingRecord, PressModel, sample_disturbance
from controller.brain import Forced, Step
from controller.data import LabSample, Mode, ReachedBy, Targets, Validated
from plant_models.line import ResolvedLine
from plant_models.signals import MV

__all__ = ["PlcBrain", "operator_settings"]


class PlcBrain:
    """Plans nothing and moves nothing: the PLC's loops do what they do."""

    name = "plc"
    manipulated: tuple[str, ...] = ()

    def initial(self) -> None:
        """Nothing to remember."""

    def prepare(self, state: None) -> None:
        """Nothing to work ahead."""

    def step(
        self,
        state: None,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One cycle without a plan."""
        taken = Forced(estimator_steps=0, optimiser_steps=0, reached_by=ReachedBy.NONE)
        return Step(state=None, estimate=None, forecast=None, plan=None, taken=taken)


def operator_settings(
    line: ResolvedLine,
    samples: Sequence[tuple[LabSample, OperatingRecord]],
    weight: float,
    strength: float,
) -> dict[str, float]:
    """Force [N] and thickness setting [m] that the operator works out, by MV tag.

    Parameters
    ----------
    line
        The line as configured.
    samples
        Samples with what the press ran at when each was taken; two, by the operator's rule.
    weight, strength
        Wanted weight [kg] and tensile strength [Pa].

    Returns
    -------
    Settings in SI; not limited to any range.
    """
    if not samples:
        raise ValueError("the operator needs at least one sample")
    model = PressModel(line)
    # All tablets of all samples weigh alike but for scatter: strength refers to their mean weight.
    by_weight = [sample_disturbance(model, s, p, 0.0)[0] for s, p in samples]
    d_weight = sum(by_weight) / len(by_weight)
    by_strength = [sample_disturbance(model, s, p, d_weight)[1] for s, p in samples]
    d_strength = sum(by_strength) / len(by_strength)
    extent = samples[-1][1].extent
    force = model.force_for(strength * exp(-d_strength), extent)
    return {
        MV.MAIN_FORCE: force,
        MV.THICKNESS: model.thickness_for(weight * exp(-d_weight), force),
    }
