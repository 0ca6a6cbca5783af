"""A controller's memory in a file: another start goes on from it, or is told why not."""

import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleState, initial_state
from controller.data import Mode
from controller.records.codec import encode, encode_state
from controller.records.state_file import StateFileError, load_state, resumed, save_state
from tests.controller.kit import Loop, controller_config

OTHER_EPOCH = 77


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Loop, Path]:
    loop = Loop()
    loop.close()
    path = tmp_path / "controller.state"
    save_state(path, loop.state, loop.setup)
    return loop, path


def go_on(loop: Loop, state: CycleState, outputs: list[CycleOutput]) -> list[CycleOutput]:
    """The cycles of ``outputs`` again, from ``state``."""
    again = []
    for output in outputs:
        inputs = CycleInputs(snapshot=output.record.snapshot)
        again.append(run_cycle(inputs, state, loop.setup, lambda: 0.0))
        state = again[-1].state
    return again


def test_the_memory_of_the_data_goes_on_and_nothing_else(saved: tuple[Loop, Path]) -> None:
    loop, path = saved
    state, whole = loop.state, [loop.cycle() for _ in range(8)]
    assert state.mode is Mode.CLOSED_LOOP and state.sequence > 0
    fresh = initial_state(loop.setup, OTHER_EPOCH)
    start = resumed(fresh, load_state(path, loop.setup))
    assert (start.cycle, start.time) == (state.cycle, state.time)
    assert (start.mode, start.epoch, start.sequence) == (Mode.MONITORING, OTHER_EPOCH, 0)
    assert start.heartbeat is None and start.last_command is None and start.last_plan is None
    assert start.supervision == fresh.supervision and start.counters == fresh.counters
    for one, other in zip(whole, go_on(loop, start, whole), strict=True):
        assert other.record.cycle == one.record.cycle
        assert other.command.frame is None
        for part in ("validated", "estimate", "forecast"):
            assert encode(getattr(other.record, part)) == encode(getattr(one.record, part)), part


def test_without_the_memory_the_same_cycles_come_out_differently(
    saved: tuple[Loop, Path],
) -> None:
    loop, _ = saved
    whole = [loop.cycle()]
    (again,) = go_on(loop, initial_state(loop.setup, OTHER_EPOCH), whole)
    assert encode(again.record.forecast) != encode(whole[0].record.forecast)


def test_saving_replaces_what_was_there_at_once(saved: tuple[Loop, Path]) -> None:
    loop, path = saved
    loop.cycle()
    save_state(path, loop.state, loop.setup)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load_state(path, loop.setup).cycle == loop.state.cycle


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("models", "another line or signal list"),
        ("configuration", "another configuration of the controller"),
    ],
)
def test_other_models_or_settings_are_refused(
    saved: tuple[Loop, Path], name: str, said: str
) -> None:
    loop, path = saved
    other = replace(loop.setup, hashes={**loop.setup.hashes, name: "0123"})
    with pytest.raises(StateFileError, match=rf"controller.state: .*{said} \(.*, here 0123\); "):
        load_state(path, other)


def test_other_software_is_refused_where_both_are_known(saved: tuple[Loop, Path]) -> None:
    loop, path = saved
    known = replace(loop.setup, hashes={**loop.setup.hashes, "software": "abc"})
    assert load_state(path, known).cycle == loop.state.cycle
    save_state(path, loop.state, known)
    assert load_state(path, loop.setup).cycle == loop.state.cycle
    other = replace(loop.setup, hashes={**loop.setup.hashes, "software": "def"})
    with pytest.raises(StateFileError, match=r"other software \(abc, here def\)"):
        load_state(path, other)


def test_another_algorithm_is_another_configuration(saved: tuple[Loop, Path]) -> None:
    _, path = saved
    with pytest.raises(StateFileError, match=r"nmpc \(nmpc\), cycle \d+ was saved with another"):
        load_state(path, Loop(config=controller_config("plc")).setup)


def test_what_is_no_saved_state_is_refused(saved: tuple[Loop, Path]) -> None:
    loop, path = saved
    whole = path.read_bytes()
    magic, head, blob = whole.split(b"\n", 2)
    foreign = zlib.compress(b"\x80\x05cos\nsystem\n.")
    for content, said in (
        (b"", "no saved state"),
        (encode_state(loop.state), "no saved state"),
        (magic + b"\n{}\n" + blob, "head of the saved state is damaged"),
        (magic + b"\n[1]\n" + blob, "head of the saved state is damaged"),
        (magic + b"\n" + head[:-3] + b"\n" + blob, "head of the saved state is damaged"),
        (whole[:-40], "is damaged: not a saved state"),
        (magic + b"\n" + head + b"\n" + foreign, "is damaged: os.system has no place"),
    ):
        path.write_bytes(content)
        with pytest.raises(StateFileError, match=said):
            load_state(path, loop.setup)
    with pytest.raises(StateFileError, match="cannot be read"):
        load_state(path.parent / "nowhere", loop.setup)


def test_a_state_of_shed_control_starts_in_monitoring(saved: tuple[Loop, Path]) -> None:
    loop, path = saved
    shed = loop.cycle(Mode.SHED).state
    assert shed.mode is Mode.SHED
    save_state(path, shed, loop.setup)
    start = resumed(initial_state(loop.setup, OTHER_EPOCH), load_state(path, loop.setup))
    assert start.mode is Mode.MONITORING
