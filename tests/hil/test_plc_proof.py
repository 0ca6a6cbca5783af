"""Proof of the material after a changeover: what has to be shown, and in which order."""

from dataclasses import replace

import pytest

from hil.plc.proof import prove
from hil.plc.state import Diverter, ProofState, from_document, to_document
from hil.readings import LabReading, Reading, Readings
from plant_models.signals import BAD
from tests.hil.plc_kit import parameters, readings, running_plant, running_state

WEIGHT = 200e-6
OPEN = ProofState(proven=False, required=1.0)


def lab(taken: int, weight: float = WEIGHT) -> LabReading:
    return LabReading(
        number=1,
        taken=taken,
        published=taken + 120,
        weight=(weight, weight),
        thickness=(3e-3, 3e-3),
        force=(90.0, 90.0),
    )


def seen(second: int, made: int, potency: float = 1.0, **changes: object) -> Readings:
    """Readings of a running line; ``made`` tablets so far."""
    base = readings(running_state())
    return replace(base, made=made, potency=Reading(potency, 0, float(second)), **changes)  # type: ignore[arg-type]


def shown(
    proof: ProofState, seconds: range, *, made: int = 10_000, **changes: object
) -> ProofState:
    for second in seconds:
        proof = prove(parameters(), proof, seen(second, made, **changes), second)  # type: ignore[arg-type]
    return proof


def test_a_line_that_made_nothing_else_has_nothing_to_prove() -> None:
    assert running_state().proof.proven
    proof = ProofState()
    assert prove(parameters(), proof, seen(1, 5), 1) is proof


def test_the_powder_path_is_washed_out_by_mass_pressed() -> None:
    proof = shown(OPEN, range(1, 3), made=4_999)
    assert (proof.washed_at, proof.pressed) == (None, pytest.approx(4_999 * WEIGHT))
    assert shown(proof, range(3, 4), made=5_001).washed_at == 3


def test_then_readings_and_a_sample_from_after_the_wash_out_prove_it() -> None:
    proof = shown(OPEN, range(1, 2), made=5_001)
    proof = shown(proof, range(2, 30), lab=lab(1))
    assert not proof.proven  # the sample is of the moment of the wash-out
    proof = shown(proof, range(30, 31), lab=lab(2))
    assert proof.proven


@pytest.mark.parametrize("potency", [0.94, 1.06])
def test_a_potency_outside_the_specification_proves_nothing(potency: float) -> None:
    proof = shown(OPEN, range(1, 60), made=5_001, potency=potency, lab=lab(20))
    assert (proof.proven, proof.sample_good) == (False, True)
    assert shown(proof, range(60, 61), lab=lab(20)).proven is False  # the mean is still off
    assert shown(proof, range(60, 90), lab=lab(20)).proven is True


@pytest.mark.parametrize("weight", [0.94 * WEIGHT, 1.06 * WEIGHT])
def test_a_weight_outside_the_specification_proves_nothing(weight: float) -> None:
    proof = shown(OPEN, range(1, 60), made=5_001, lab=lab(20, weight))
    assert not proof.proven
    assert shown(proof, range(60, 62), lab=lab(50)).proven


def test_a_bad_or_repeated_reading_of_the_nir_does_not_count() -> None:
    proof = shown(OPEN, range(1, 2), made=5_001)
    for second in range(2, 40):
        bad = replace(seen(second, 5_001, lab=lab(20)), potency=Reading(1.0, BAD, float(second)))
        proof = prove(parameters(), proof, bad, second)
        old = replace(seen(2, 5_001, lab=lab(20)), potency=Reading(1.0, 0, 1.5))
        proof = prove(parameters(), proof, old, second)
    assert len(proof.potencies) == 1
    assert not proof.proven


def test_until_it_is_proven_the_diverter_stays_however_good_the_line_is() -> None:
    plant = running_plant()
    plant.state = replace(plant.state, proof=replace(OPEN, required=1e9))
    plant.advance(200)
    assert not plant.outlet.collecting
    assert plant.state.diverter.goal is Diverter.DIVERT
    plant.state = replace(plant.state, proof=ProofState())
    plant.advance(100)
    assert plant.outlet.collecting


def test_the_proof_is_saved_with_the_plc() -> None:
    proof = shown(OPEN, range(1, 20), made=5_001)
    assert proof.washed_at is not None and len(proof.potencies) > 1
    state = replace(running_state(), proof=proof)
    assert from_document(to_document(state)) == state


def test_a_plc_saved_before_there_was_a_proof_is_read_as_proven() -> None:
    document = to_document(running_state())
    del document["proof"]
    assert from_document(document).proof.proven
