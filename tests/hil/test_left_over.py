"""What another product left in the powder path: mass is kept, and every gram of it is marked."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hil.truth import Truth
from plant_models.line import ResolvedLine
from tests.hil.truth_kit import drives, line, quiet, run, scenario
from tools.configuration import load_product_set

SECONDS = 400


def second_product() -> ResolvedLine:
    root = Path(__file__).parents[2]
    return load_product_set(root / "configs/product_sets/half_strength_tablet.yaml").line


def truth(resolved: ResolvedLine) -> Truth:
    return Truth(resolved, quiet(scenario().truth), seed=3)


@cache
def _used() -> Truth:
    made = truth(line())
    run(made, drives(line()), SECONDS)
    return made


def used() -> Truth:
    """The first product on its way through the line."""
    return deepcopy(_used())


@pytest.mark.parametrize(
    ("blender", "chute", "frame"), [(1.0, 1.0, 1.0), (0.3, 0.0, 0.1), (0.0, 0.5, 0.0)]
)
def test_what_is_left_and_what_is_there_add_up(blender: float, chute: float, frame: float) -> None:
    before, after = used(), truth(second_product())
    own, state = after.inventory(), before.state()["powder"]
    after.inherit(before.state(), blender=blender, chute=chute, frame=frame)
    n = own.size
    cells = np.array(state["cells"])[:, :n].mean(axis=0)
    left = blender * state["hold_up"] * cells
    left = left + frame * state["frame_mass"] * np.array(state["frame_row"])[:n]
    for mass, row in state["chute"]:
        left = left + chute * mass * np.array(row)[:n]
    assert after.inventory() == pytest.approx(own + left, rel=1e-12)


def test_the_mark_goes_the_way_of_the_powder_and_is_washed_out() -> None:
    before, after, resolved = used(), truth(second_product()), second_product()
    after.inherit(before.state(), blender=1.0, chute=1.0, frame=1.0)
    shares = []
    for second in range(1300):
        after.step(drives(resolved), second)
        shares.append(after.foreign)
    assert shares[0] == 1.0
    assert min(np.diff(shares)) < 0.0 and max(np.diff(shares)) < 1e-3
    assert 0.0 < shares[-1] < 1e-3


def test_without_another_product_nothing_is_marked_and_nothing_is_different() -> None:
    one, other = truth(line()), truth(line())
    outs = [run(t, drives(line()), 60) for t in (one, other)]
    assert one.foreign == 0.0
    assert [o.mass for o in outs[0]] == [o.mass for o in outs[1]]


def test_marked_powder_survives_a_save_bit_for_bit() -> None:
    before, resolved = used(), second_product()
    after, again = truth(resolved), truth(resolved)
    after.inherit(before.state(), blender=1.0, chute=0.5, frame=0.2)
    run(after, drives(resolved), 100)
    again.restore(json.loads(json.dumps(after.state())))
    for second in range(100, 160):
        assert (
            after.step(drives(resolved), second).mass == again.step(drives(resolved), second).mass
        )
        assert after.foreign == again.foreign > 0.0


def test_a_third_product_marks_the_second_one_wholly() -> None:
    before, resolved = used(), second_product()
    second, third = truth(resolved), truth(line())
    second.inherit(before.state(), blender=1.0, chute=1.0, frame=1.0)
    run(second, drives(resolved), 300)
    third.inherit(second.state(), blender=1.0, chute=1.0, frame=1.0)
    third.step(drives(line()), 0)
    assert third.foreign == 1.0


def test_powder_of_another_line_cannot_be_left() -> None:
    after, state = truth(line()), used().state()
    state["powder"]["cells"] = state["powder"]["cells"][:-1]
    with pytest.raises(ValueError, match="other feeders or another blender"):
        after.inherit(state, blender=1.0, chute=1.0, frame=1.0)
