"""From configuration to SI: parameters of the unit operations and the nominal point."""

import pytest

from plant_models.blender import hold_up_at
from plant_models.config import LineConfig
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    chute_parameters,
    compaction,
    feeder_parameters,
    frame_parameters,
    nominal_extent,
    nominal_flow,
    press_parameters,
    recipe_fractions,
    strength,
)


def test_nominal_flow_and_extent(reference: ResolvedLine) -> None:
    """MODELS: 20 kg/h = 5.556 g/s; 288 + 63 = 351 revolutions."""
    assert nominal_flow(reference) * 1e3 == pytest.approx(5.556, abs=5e-4)
    assert nominal_extent(reference) == pytest.approx(351.0, abs=0.5)


def test_recipe_is_balanced_by_the_filler(reference: ResolvedLine) -> None:
    assert recipe_fractions(reference) == pytest.approx((0.10, 0.89, 0.01))
    product = reference.product.model_copy(update={"api_percent": 12.0})
    changed = ResolvedLine(
        line=reference.line,
        product=product,
        blend=reference.blend,
        components=reference.components,
    )
    assert recipe_fractions(changed) == pytest.approx((0.12, 0.87, 0.01))


def test_an_excipient_takes_its_share_from_the_filler(reference: ResolvedLine) -> None:
    feeders = list(reference.line.feeders)
    extra = feeders[1].model_copy(
        update={"name": "Disintegrant", "role": "excipient", "share_percent": 4.0}
    )
    line = reference.line.model_copy(update={"feeders": (*feeders, extra)})
    changed = ResolvedLine(
        line=line,
        product=reference.product,
        blend=reference.blend,
        components=(*reference.components, reference.components[1]),
    )
    assert recipe_fractions(changed) == pytest.approx((0.10, 0.85, 0.01, 0.04))


def test_feeder_parameters_are_si(reference: ResolvedLine) -> None:
    p = feeder_parameters(reference.line.feeders[0])
    assert (p.ff_min, p.ff_max) == pytest.approx((0.8e-3, 1.1e-3))
    assert (p.beta, p.capacity, p.tau_screw) == (1.5, 5.0, 1.5)
    assert p.speed_max == pytest.approx(2.0)
    assert p.overfeed == pytest.approx(0.05)


def test_blender_chute_and_frame_parameters_are_si(reference: ResolvedLine) -> None:
    b = blender_parameters(reference)
    assert hold_up_at(b, nominal_flow(reference), b.speed_0) == pytest.approx(0.48, rel=2e-3)
    assert chute_parameters(reference).volume == pytest.approx(0.60 / 480.0)
    frame = frame_parameters(reference)
    assert (frame.hold_up, frame.paddle_speed) == pytest.approx((0.35, 1.0))


def test_press_parameters_are_si(reference: ResolvedLine) -> None:
    p = press_parameters(reference)
    assert p.die_area == pytest.approx(50.27e-6)
    assert p.compliance == pytest.approx(15e-9)
    assert p.pre_thickness == pytest.approx(3.8e-3)
    assert p.recovery == pytest.approx(0.04)
    assert p.critical_speed == pytest.approx(50.0 / 60.0)
    assert p.speed_ref * 60.0 == pytest.approx(46.3, abs=0.05)
    # 0.12 % per rpm^1.2, whatever the unit of speed
    assert p.fill_loss * (10.0 / 60.0) ** p.fill_loss_power == pytest.approx(0.0012 * 10.0**1.2)


def test_powder_parameters_are_si(reference: ResolvedLine) -> None:
    c = compaction(reference.blend)
    assert (c.a, c.scale, c.true_density) == (0.70, 20e6, 1520.0)
    assert c.critical_density == pytest.approx(480.0 / 1520.0)
    s = strength(reference.blend, 351.0)
    assert (s.sigma_0, s.k, s.beta, s.gamma, s.extent_0) == (10e6, 7.06, 0.35, 0.003, 351.0)


def test_a_component_cannot_be_pressed(reference: ResolvedLine) -> None:
    with pytest.raises(ValueError, match="'API' has no 'compaction'"):
        compaction(reference.components[0])
    with pytest.raises(ValueError, match="'API' has no 'strength'"):
        strength(reference.components[0], 0.0)


def test_a_line_needs_a_component_per_feeder_and_a_blend_that_can_be_pressed(
    reference: ResolvedLine,
) -> None:
    def resolved(components: tuple, blend: object) -> ResolvedLine:
        return ResolvedLine(
            line=reference.line,
            product=reference.product,
            blend=blend,  # type: ignore[arg-type]
            components=components,
        )

    with pytest.raises(ValueError, match="one component per feeder"):
        resolved(reference.components[:2], reference.blend)
    with pytest.raises(ValueError, match="needs 'compaction' and 'strength'"):
        resolved(reference.components, reference.components[0])


def test_feeders_are_found_by_their_role(reference: ResolvedLine) -> None:
    assert [reference.feeder_index(r) for r in ("api", "filler", "lubricant")] == [0, 1, 2]
    with pytest.raises(KeyError, match="no feeder with role 'excipient'"):
        reference.feeder_index("excipient")


def test_configuration_cannot_be_changed_after_loading(reference: ResolvedLine) -> None:
    with pytest.raises(ValueError, match="frozen"):
        reference.line.name = "other"  # type: ignore[misc]


def test_configuration_survives_its_own_dump(reference: ResolvedLine) -> None:
    text = reference.line.model_dump_json(by_alias=True)
    assert LineConfig.model_validate_json(text) == reference.line
