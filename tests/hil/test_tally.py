from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hil.tally import (
    SECOND,
    TABLET,
    Fate,
    ReceivedCommand,
    Tally,
    bump_at_closing,
    rate_violation,
    read_tally,
)
from hil.truth import Truth, TruthOut
from plant_models.signals import MV, LineState, PlcMode
from tests.hil.plc_kit import running_plant
from tests.hil.truth_kit import changed, drives, line, scenario

MOVES = {MV.TOTAL_FEED: 0.3, MV.THICKNESS: 0.02}


def _outs(seconds: int) -> list[TruthOut]:
    filled = {"blender_kg": 0.48, "chute_percent": 50.0, "frame_percent": 100.0}
    truth = Truth(line(), changed(scenario("calm").truth, initial=filled), 11)
    return [truth.step(drives(line()), second) for second in range(seconds)]


def _add(tally: Tally, out: TruthOut, collecting: bool = True) -> None:
    outside = np.zeros(out.press.tablets.count, dtype=np.bool_)
    outside[:1] = True
    tally.add(out, outside, collecting, LineState.RUNNING, PlcMode.LOCAL)


def test_every_tablet_has_exactly_one_fate() -> None:
    tally = Tally(None, 2)
    outs = _outs(20)
    for i, out in enumerate(outs):
        _add(tally, out, collecting=i >= 10)
    rows = tally.tablets()
    counts = [int((rows["fate"] == fate).sum()) for fate in Fate]
    assert counts == [tally.released, tally.rejected, tally.diverted]
    assert sum(counts) == tally.made == rows.size == sum(o.press.tablets.count for o in outs)
    assert tally.rejected == sum(1 for o in outs[10:] if o.press.tablets.count)


def test_rows_hold_the_truth_in_si() -> None:
    tally = Tally(None, 2)
    outs = _outs(5)
    for out in outs:
        _add(tally, out)
    row, tablets = tally.seconds()[-1], outs[-1].press.tablets
    assert row["weight"] == pytest.approx(tablets.weight.mean())
    assert row["assay"] == pytest.approx(tablets.revolution_assay.mean())
    assert row["throughput"] == pytest.approx(tablets.weight.sum())
    assert row["level"] == outs[-1].powder.chute_level
    singles = tally.tablets()[-tablets.count :]
    assert np.array_equal(singles["strength"], tablets.strength.astype(np.float32))


def test_a_second_without_tablets_has_no_means() -> None:
    tally = Tally(None, 2)
    truth = Truth(line(), scenario("calm").truth, 11)
    _add(tally, truth.step(drives(line()), 0))
    assert tally.made == 0
    assert np.isnan(tally.seconds()["weight"][0])
    assert tally.tablets().size == 0


def test_files_are_cut_to_the_saved_length_and_read_back(tmp_path: Path) -> None:
    outs = _outs(20)
    tally = Tally(tmp_path, 2)
    for out in outs[:10]:
        _add(tally, out)
    saved = tally.state()
    for out in outs[10:]:
        _add(tally, out)
    tally.state()
    again = Tally(tmp_path, 2)
    again.restore(saved)
    assert again.seconds().size == 10
    for out in outs[10:]:
        _add(again, out)
    again.state()
    seconds, tablets, commands = read_tally(tmp_path)
    assert seconds.dtype == SECOND and tablets.dtype == TABLET and commands == []
    assert seconds.tobytes() == tally.seconds().tobytes()
    assert tablets.tobytes() == tally.tablets().tobytes()
    assert again.made == tally.made


def test_without_a_run_directory_nothing_can_be_restored() -> None:
    tally = Tally(None, 2)
    with pytest.raises(ValueError, match="run directory"):
        tally.restore(tally.state())


def _command(request: float, **changes: object) -> ReceivedCommand:
    usual: dict[str, object] = {
        "second": 1,
        "session": "s",
        "cause": "",
        "mode": "CASCADE",
        "sequence": 1,
        "epoch": 1,
        "echo": 1,
        "first": False,
        "owned": (MV.TOTAL_FEED,),
        "requests": {MV.TOTAL_FEED: request, MV.THICKNESS: 9.0},
        "previous": {MV.TOTAL_FEED: 20.0, MV.THICKNESS: 3.0},
        **changes,
    }
    return ReceivedCommand(**usual)


def test_violations_count_only_what_was_accepted_and_owned() -> None:
    assert rate_violation([], MOVES) == 0.0
    assert rate_violation([_command(20.3)], MOVES) == 0.0
    assert rate_violation([_command(19.4)], MOVES) == pytest.approx(1.0)
    assert rate_violation([_command(19.4, cause="echo")], MOVES) == 0.0


def test_the_bump_is_the_worst_first_move_of_all_closings() -> None:
    commands = [_command(20.03, first=True), _command(20.3), _command(19.94, first=True)]
    assert bump_at_closing(commands, MOVES) == pytest.approx(0.2)
    assert bump_at_closing(commands[1:2], MOVES) == 0.0


def test_released_tablets_are_not_among_the_rejected_ones() -> None:
    plant = running_plant()
    plant.advance(600)
    rows = plant.tally.tablets()
    late = rows[rows["second"] >= 1000]
    rejected = late[late["fate"] == Fate.REJECTED]
    assert 0 < rejected.size < 0.01 * late.size
    spread = np.abs(rejected["weight"] / late["weight"].mean() - 1.0)
    assert spread.mean() > np.abs(late["weight"] / late["weight"].mean() - 1.0).mean()


@pytest.mark.parametrize("seconds", [22, 23])
def test_a_log_with_other_columns_is_not_read(seconds: int, tmp_path: Path) -> None:
    """22 rows without the last column are as long as 21 rows with it."""
    names = [name for name in SECOND.names or () if name != "foreign"]
    rows = np.zeros(seconds, dtype=[(name, "<f8") for name in names])
    rows["second"] = np.arange(seconds)
    rows["weight"] = 2e-4
    (tmp_path / "tally_seconds.bin").write_bytes(rows.tobytes())
    (tmp_path / "tally_tablets.bin").write_bytes(b"")
    (tmp_path / "commands.jsonl").write_text("")
    with pytest.raises(ValueError, match="another version"):
        read_tally(tmp_path)
