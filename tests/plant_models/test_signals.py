"""The signal list and the records that cross the link."""

import pytest

from plant_models.config import REQUIRED_MANIPULATED
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import (
    APC,
    BAD,
    GOOD,
    LAB,
    MV,
    PLC,
    UNCERTAIN,
    CommandFrame,
    DataType,
    SignalTable,
    Snapshot,
    Value,
    Writer,
    is_good,
)
from plant_models.units import UNITS


@pytest.fixture(scope="module")
def table(reference: ResolvedLine) -> SignalTable:
    return signal_table(reference.line)


def _constants(group: type) -> set[str]:
    return {v for k, v in vars(group).items() if k.isupper()}


def test_tags_are_unique_and_below_line(table: SignalTable) -> None:
    tags = [s.tag for s in table]
    assert len(set(tags)) == len(tags)
    assert all(tag.startswith("Line/") for tag in tags)


def test_every_manipulated_variable_has_its_ten_nodes(table: SignalTable) -> None:
    """The contract: REQ, ACT, FBK, SRC, AVAIL, LO, HI, RATE_UP, RATE_DN, CLAMPED."""
    parts = {"REQ", "ACT", "FBK", "SRC", "AVAIL", "LO", "HI", "RATE_UP", "RATE_DN", "CLAMPED"}
    for tag in REQUIRED_MANIPULATED:
        found = {s.tag.removeprefix(f"{tag}/") for s in table if s.tag.startswith(f"{tag}/")}
        assert found == parts, tag


def test_the_handshake_the_plc_and_the_lab_are_there(table: SignalTable) -> None:
    people = {PLC.OPERATOR_SET, PLC.SET_LOCAL, PLC.LINE_COMMAND, PLC.LOAD_RECIPE}
    methods = {PLC.REQUEST_CONTROL} | people
    for tag in (_constants(PLC) - methods) | _constants(APC) | _constants(LAB):
        assert tag in table, tag
    assert not any(tag in table for tag in methods)


def test_the_names_of_the_manipulated_variables_are_those_of_the_configuration() -> None:
    assert _constants(MV) == set(REQUIRED_MANIPULATED)


def test_only_requests_and_the_handshake_are_written_by_the_controller(
    table: SignalTable,
) -> None:
    for signal in table:
        expected = signal.tag.endswith("/REQ") or (
            signal.tag.startswith("Line/APC/") and signal.tag != APC.WATCHDOG_S
        )
        assert (signal.writer is Writer.CONTROLLER) == expected, signal.tag


def test_every_number_has_a_known_unit_and_a_range(table: SignalTable) -> None:
    for signal in table:
        assert signal.unit in UNITS, signal.tag
        if signal.data_type in (DataType.DOUBLE, DataType.DOUBLE_ARRAY) and signal.unit:
            assert signal.lo is not None, signal.tag
            assert signal.hi is not None, signal.tag
            assert signal.lo < signal.hi, signal.tag


def test_rates_are_per_second(table: SignalTable, reference: ResolvedLine) -> None:
    spec = table.mv(MV.MAIN_FORCE)
    assert (spec.unit, spec.lo, spec.hi) == ("kN", 5.0, 12.0)
    assert spec.rate == pytest.approx(0.2 / 5.0)
    assert {m.tag for m in table.manipulated} == {m.tag for m in reference.line.manipulated}
    with pytest.raises(KeyError):
        table.mv("Line/Press/Nothing")


def test_feeders_are_numbered_in_the_order_of_the_configuration(table: SignalTable) -> None:
    for i in (1, 2, 3):
        assert f"Line/Feeder{i}/MassFlow/PV" in table
    assert "Line/Feeder4/MassFlow/PV" not in table


@pytest.mark.parametrize(("highest", "range_kn"), [(12.0, 20.0), (48.0, 60.0)])
def test_the_force_transducers_reach_beyond_the_highest_set_point(
    reference: ResolvedLine, highest: float, range_kn: float
) -> None:
    manipulated = tuple(
        m.model_copy(update={"hi": highest}) if m.tag == MV.MAIN_FORCE else m
        for m in reference.line.manipulated
    )
    table = signal_table(reference.line.model_copy(update={"manipulated": manipulated}))
    assert table["Line/Press/MainForce/PV"].hi == table["Line/Press/PreForce/PV"].hi == range_kn


def test_signals_convert_by_their_unit(table: SignalTable) -> None:
    signal = table["Line/Press/MainForce/PV"]
    assert signal.to_si(7.24) == pytest.approx(7240.0)
    assert signal.from_si(7240.0) == pytest.approx(7.24)


def test_the_version_changes_with_the_list_only(
    table: SignalTable, reference: ResolvedLine
) -> None:
    assert signal_table(reference.line).model_version() == table.model_version()
    feeders = reference.line.feeders[:2]
    other = reference.line.model_copy(update={"feeders": feeders})
    assert signal_table(other).model_version() != table.model_version()


def test_a_frame_is_one_batch_with_head_first_and_tail_last() -> None:
    frame = CommandFrame(sequence=7, requests={MV.MAIN_FORCE: 7.3}, echo=100, epoch=42)
    writes = frame.as_writes()
    assert list(writes) == [
        APC.SEQ_HEAD,
        f"{MV.MAIN_FORCE}/REQ",
        APC.ECHO,
        APC.EPOCH,
        APC.DIVERT_REQ,
        APC.SEQ_TAIL,
    ]
    assert (writes[APC.SEQ_HEAD], writes[APC.SEQ_TAIL]) == (7, 7)


@pytest.mark.parametrize(
    ("status", "good"),
    [(GOOD, True), (0x00040000, True), (UNCERTAIN, False), (BAD, False), (0x80340000, False)],
)
def test_only_severity_good_is_good(status: int, good: bool) -> None:
    assert is_good(status) is good


def test_a_snapshot_gives_good_numbers_only() -> None:
    snapshot = Snapshot(
        time=0.0,
        scan_id=1,
        values={
            "a": Value(1.5),
            "b": Value(1.5, BAD),
            "c": Value("text"),
            "d": Value((1.0, 2.0)),
            "e": Value(None),
            "f": Value(3),
        },
    )
    assert [snapshot.number(tag) for tag in "abcdefg"] == [1.5, None, None, None, None, 3.0, None]
    assert snapshot.text("c") == "text"
    assert snapshot.text("b") is None
    assert snapshot.text("e") is None
    assert snapshot.text("g") is None
