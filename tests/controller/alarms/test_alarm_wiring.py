"""The alarms of a controller as configured, and health of signals as doubts of instruments."""

from controller.alarms.watch import alarm_setup
from controller.alarms.wiring import doubts_of, watched_of
from controller.measurement.health import HealthReport
from controller.measurement.ne107 import Defect, DefectAction, Ne107, SignalHealth
from controller.supervision.loss_table import LOSS_LADDER
from tests.controller.kit import LINE, OWNED, controller_config


def _signal(category: Ne107) -> SignalHealth:
    return SignalHealth(
        category=category,
        defect=Defect.BIAS,
        action=DefectAction.USE,
        since=0.0,
        text="3 % off",
    )


def test_every_instrument_of_the_ladder_and_every_owned_set_point_has_its_alarms() -> None:
    made = alarm_setup(watched_of(controller_config(), LINE, OWNED)).definitions
    for row in LOSS_LADDER:
        assert row.instrument in made[f"instrument-lost.{row.name}"].text
        assert f"instrument-doubtful.{row.name}" in made
    assert {n for n in made if n.startswith("mv-local.")} == {
        f"mv-local.{tag.rpartition('/')[2]}" for tag in OWNED
    }


def test_limits_are_those_of_the_product_in_si() -> None:
    limits = watched_of(controller_config(), LINE, OWNED).specification
    lo, hi = limits["tablet_weight"]
    assert lo < LINE.product.weight_mg * 1e-6 < hi
    assert limits["potency"][0] < 1.0 < limits["potency"][1]
    assert limits["tensile_strength"][0] > 1e5


def test_doubts_are_what_is_neither_good_nor_lost() -> None:
    signals = {
        "Line/FeedFrame/Potency/PV": _signal(Ne107.OUT_OF_SPEC),
        "Line/Press/MainForce/PV": _signal(Ne107.FAILURE),
        "Line/Press/PreForce/PV": _signal(Ne107.GOOD),
        "Line/Feeder1/MassFlow/PV": _signal(Ne107.MAINTENANCE),
    }
    found = doubts_of(HealthReport(signals=signals))
    assert found == {
        "nir": "out of specification: 3 % off",
        "api_load_cell": "maintenance required: 3 % off",
    }
    assert doubts_of(None) == {}
