"""Is it the right product? After a changeover tablets are diverted until this has been shown.

Three things in a row: the powder path is washed out by a known mass, the NIR's mean potency since
then is within the specification, and an at-line sample taken since then has the right weight.
"""

from __future__ import annotations

from dataclasses import replace

from hil.plc.parameters import PlcParameters
from hil.plc.state import ProofState
from hil.readings import Readings
from plant_models.signals import is_good

__all__ = ["prove"]

_READINGS = 12  # of the NIR, in the mean


def prove(p: PlcParameters, proof: ProofState, readings: Readings, second: int) -> ProofState:
    """The proof after this scan; it rests once the material is proven.

    Parameters
    ----------
    p
        Weight of a tablet and limits.
    proof
        State.
    readings
        Newest readings.
    second
        Plant second.
    """
    if proof.proven:
        return proof
    pressed = proof.pressed + max(0, readings.made - proof.made) * p.weight
    proof = replace(proof, pressed=pressed, made=readings.made)
    washed_at = proof.washed_at
    if washed_at is None:
        return replace(proof, washed_at=second) if pressed >= proof.required else proof
    proof = _potency(proof, readings, washed_at)
    lab = readings.lab
    if lab is not None and lab.taken > washed_at:
        mean = sum(lab.weight) / len(lab.weight)
        proof = replace(proof, sample_good=p.weight_limits[0] <= mean <= p.weight_limits[1])
    if not proof.sample_good or len(proof.potencies) < _READINGS:
        return proof
    mean = sum(proof.potencies) / len(proof.potencies)
    return replace(proof, proven=p.assay_limits[0] <= mean <= p.assay_limits[1])


def _potency(proof: ProofState, readings: Readings, since: int) -> ProofState:
    """Collect a reading that is new, good and of material pressed after the wash-out."""
    seen = readings.potency
    fresh = seen.second > max(proof.potency_second, float(since))
    if not is_good(seen.status) or not fresh:
        return proof
    potencies = (*proof.potencies[1 - _READINGS :], seen.value)
    return replace(proof, potencies=potencies, potency_second=seen.second)
