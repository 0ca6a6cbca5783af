"""The judgement of residuals: names, doubts, silence."""

from __future__ import annotations

import numpy as np
import pytest

from controller.measurement.signatures import NOTHING, Process, Signatures, judge
from controller.measurement_config import JudgementConfig

CONFIG = JudgementConfig()
TABLE = Signatures(
    noise={"x": 0.005, "y": 0.005, "z": 0.005},
    process=(Process(0.01, {"z": 1.0}, open=True), Process(0.005, {"y": 1.0})),
    instruments={"A": {"x": 1.0, "y": -1.0}, "B": {"y": 1.0, "z": 0.5}, "C": {"z": 1.0}},
)


def _shift(tag: str, size: float) -> dict[str, float]:
    return {n: size * TABLE.instruments[tag].get(n, 0.0) for n in TABLE.noise}


@pytest.mark.parametrize("size", [0.06, -0.06])
@pytest.mark.parametrize("tag", ["A", "B"])
def test_its_own_signature_names_an_instrument_and_tells_its_error(tag: str, size: float) -> None:
    found = judge(_shift(tag, size), TABLE, CONFIG)
    assert found.tags == (tag,)
    assert found.sizes[0][1] == pytest.approx(size, rel=0.01)
    assert found.misfit == pytest.approx(0.0, abs=1e-6)


def test_what_the_process_may_do_as_well_blames_nobody() -> None:
    assert judge(_shift("C", 0.2), TABLE, CONFIG) == NOTHING


def test_what_no_single_instrument_explains_blames_nobody() -> None:
    assert judge({"x": 0.06, "y": 0.06, "z": -0.06}, TABLE, CONFIG) == NOTHING


def test_without_the_residual_that_tells_them_apart_both_are_named() -> None:
    found = judge({"y": 0.06}, TABLE, CONFIG)
    assert set(found.tags) == {"A", "B"}
    assert dict(found.sizes)["A"] == pytest.approx(-dict(found.sizes)["B"])


def test_without_residuals_nothing_is_said() -> None:
    assert judge({}, TABLE, CONFIG) == NOTHING
    assert judge({"unknown": 1.0}, TABLE, CONFIG) == NOTHING


def test_what_has_been_found_stays_until_it_is_well_inside() -> None:
    near = _shift("A", 0.019)
    assert judge(near, TABLE, CONFIG) == NOTHING
    assert judge(near, TABLE, CONFIG, ("A",)).tags == ("A",)
    assert judge(_shift("A", 0.008), TABLE, CONFIG, ("A",)) == NOTHING


def test_noise_alone_names_hardly_ever() -> None:
    draw = np.random.default_rng(1)
    names = 0
    for _ in range(2000):
        z, y = 0.01 * draw.standard_normal(), 0.005 * draw.standard_normal()
        noise = 0.005 * draw.standard_normal(3)
        shifts = {"x": noise[0], "y": noise[1] + y, "z": noise[2] + z}
        names += judge(shifts, TABLE, CONFIG) != NOTHING
    assert names <= 4
