"""The rationalised list: complete, in proportion, and in an order that can be evaluated."""

import json

import pytest

from controller.alarm_config import AlarmConfig, AlarmTuning
from controller.alarms.definitions import Each, Priority, alarm_id, alarm_list
from controller.alarms.entries import ENTRIES
from controller.alarms.export import list_rows
from controller.alarms.ids import Id
from controller.alarms.statistics import priority_shares
from plant_models.signals import MV
from tests.controller.alarms.alarm_kit import definition

INSTRUMENTS = (
    "nir",
    "lab",
    "main_force",
    "pre_force",
    "api_load_cell",
    "filler_load_cell",
    "lubricant_load_cell",
    "chute_level",
)
OWNED = (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED)
ITEMS = {
    Each.INSTRUMENT: {name: name.replace("_", " ") for name in INSTRUMENTS},
    Each.MV: {tag: tag.rpartition("/")[2] for tag in OWNED},
    Each.CV: {"potency": "potency", "tablet_weight": "tablet weight"},
}
LIST = alarm_list(ENTRIES, ITEMS)


def test_every_name_has_one_entry_and_every_entry_a_name() -> None:
    names = [value for key, value in vars(Id).items() if not key.startswith("_")]
    assert sorted(names) == sorted(e.id for e in ENTRIES)


def test_every_alarm_says_why_what_follows_and_what_to_do() -> None:
    for d in LIST.values():
        assert d.text and d.cause and d.consequence and d.action, d.id
        assert d.respond_within_s >= 60.0, d.id
        assert "{" not in d.text


def test_an_alarm_needs_an_action() -> None:
    assert [d.id for d in LIST.values() if d.action == "none" and not d.alert] == []


@pytest.mark.parametrize(
    ("priority", "share"),
    [(Priority.LOW, 0.80), (Priority.MEDIUM, 0.15), (Priority.HIGH, 0.05)],
)
def test_priorities_are_near_80_15_5(priority: Priority, share: float) -> None:
    shares = priority_shares(d.priority for d in LIST.values() if not d.alert)
    assert shares[priority] == pytest.approx(share, abs=0.05)


def test_consequences_of_one_instrument_belong_to_it() -> None:
    assert LIST["instrument-doubtful.nir"].suppressed_by == (
        Id.PLANT_LOST,
        Id.MEASUREMENTS,
        "instrument-lost.nir",
    )
    assert LIST["mv-saturated.Thickness"].suppressed_by == (Id.PLANT_LOST, "mv-local.Thickness")
    assert LIST["instrument-lost.main_force"].text == "main force lost: the twin stands in"


def test_whatever_suppresses_leads_to_one_that_names_a_cause_or_stands_for_itself() -> None:
    for d in LIST.values():
        for name in d.suppressed_by:
            assert list(LIST).index(name) < list(LIST).index(d.id)


def test_what_only_the_lost_plant_explains_is_hidden_behind_it() -> None:
    free = {d.id for d in LIST.values() if Id.PLANT_LOST not in d.suppressed_by and not d.alert}
    own = {Id.PLANT_LOST, Id.SHED, Id.INTERLOCK, Id.LIMITS, Id.PRODUCT, Id.LEASE, Id.WATCHDOG}
    assert free == own | {Id.CLOCK, Id.CERTIFICATE}


def test_the_site_may_tune_times_and_deadbands() -> None:
    tuning = (
        AlarmTuning(id="mv-local", on_delay_s=30.0),
        AlarmTuning(id="mv-local.Thickness", on_delay_s=60.0, deadband=1.0),
    )
    tuned = alarm_list(ENTRIES, ITEMS, tuning)
    assert tuned["mv-local.TurretSpeed"].on_delay_s == 30.0
    assert tuned["mv-local.Thickness"].on_delay_s == 60.0
    assert tuned["mv-local.Thickness"].deadband == 1.0
    assert tuned["mv-local.Thickness"].off_delay_s == LIST["mv-local.Thickness"].off_delay_s
    with pytest.raises(ValueError, match=r"tuning: there is no alarm mv-lokal; there are plant"):
        alarm_list(ENTRIES, ITEMS, (AlarmTuning(id="mv-lokal"),))
    assert AlarmConfig(tuning=tuning).tuning == tuning


def test_a_list_that_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ValueError, match="in the list twice"):
        alarm_list((definition("a"), definition("a")), {})
    with pytest.raises(ValueError, match="before it"):
        alarm_list((definition("a", suppressed_by=("b",)), definition("b")), {})


def test_names_have_no_place_for_a_path() -> None:
    assert alarm_id("mv-local", MV.THICKNESS) == "mv-local.Thickness"
    assert alarm_id("instrument-lost", "load cell (API)") == "instrument-lost.load-cell-API-"
    assert all("/" not in name and " " not in name for name in LIST)


def test_the_list_is_data() -> None:
    rows = json.loads(json.dumps(list_rows(LIST.values())))
    assert [r["id"] for r in rows] == list(LIST)
    shed = next(r for r in rows if r["id"] == Id.SHED)
    assert shed["priority"] == "high" and shed["respond_within_s"] == 300.0
