"""Records: bit-exact encoding, the database, and what a killed process leaves behind."""

import math
import pickle
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from controller.cycle_data import CycleState
from controller.data import CycleRecord, Mode
from controller.records.codec import CodecError, decode, decode_state, encode, encode_state
from controller.records.hashes import software_hash
from controller.records.historian import STATE_EVERY, Historian, History, HistoryError, sqlite_url
from plant_models.signals import UNCERTAIN
from tests.controller.kit import ROOT, Loop, ask


@pytest.fixture(scope="module")
def record() -> CycleRecord:
    loop = Loop()
    loop.close()
    loop.plant.lab(3, loop.plant.time - 100.0, (200.0, 201.0))
    loop.plant.values["Line/Press/MainForce/PV"] = math.nan
    loop.plant.status["Line/Chute/Level/PV"] = UNCERTAIN
    return loop.cycle(ask(Mode.SHED)).record


def test_a_record_comes_back_equal_in_every_part(record: CycleRecord) -> None:
    again = decode(encode(record))
    assert isinstance(again, CycleRecord)
    assert encode(again) == encode(record)
    assert again.mode is Mode.SHED
    assert again.validated is not None and record.validated is not None
    assert again.validated.samples == record.validated.samples
    assert again.validated.line_state is record.validated.line_state
    assert again.extra["inputs"] == record.extra["inputs"]
    assert again.estimate is not None and record.estimate is not None
    assert again.estimate.mean.tobytes() == record.estimate.mean.tobytes()
    assert again.snapshot.values["Line/Lab/Sample/WEIGHT"].value == (200.0, 201.0)


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, -0.0, np.nan, np.inf, 5e-324]),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4),
        np.zeros((0, 3)),
        np.array(1.5),
        np.array([True, False]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
)
def test_arrays_keep_their_bits_shape_and_type(array: np.ndarray) -> None:
    again = decode(encode({"x": array}))["x"]
    assert (again.shape, again.dtype) == (array.shape, array.dtype)
    assert again.tobytes() == array.tobytes()
    again[...] = 0


def test_plain_values_keep_their_types() -> None:
    values = {"a": (1, 1.0, True, None, "x"), "b": [(), {}], "c": {1: "one", Mode.OFF: 2}}
    again = decode(encode(values))
    assert again == values
    assert [type(v) for v in again["a"]] == [int, float, bool, type(None), str]
    assert next(k for k in again["c"] if k == Mode.OFF) is Mode.OFF


def test_a_name_of_the_format_is_no_key_problem() -> None:
    tricky = {"~": "CycleRecord", "~a": [0], "plain": 1}
    assert decode(encode(tricky)) == tricky


class Stranger:
    """Not a record."""


@pytest.mark.parametrize("value", [Stranger(), {1, 2}, np.array([object()]), b"bytes"])
def test_what_has_no_place_is_refused(value: object) -> None:
    with pytest.raises(CodecError, match="no place"):
        encode({"x": value})


@pytest.mark.parametrize("blob", [b"", b"nonsense", zlib.compress(b"XXXX\0\0\0\0")])
def test_a_foreign_blob_is_refused(blob: bytes) -> None:
    with pytest.raises(CodecError, match="not a record"):
        decode(blob)


def test_a_state_comes_back_whole() -> None:
    loop = Loop()
    loop.close()
    again = decode_state(encode_state(loop.state))
    once = encode_state(again)
    assert encode_state(decode_state(once)) == once
    for part in ("supervision", "counters", "validation", "targets", "last_command"):
        assert repr(getattr(again, part)) == repr(getattr(loop.state, part))
    for part in ("health", "ladder", "diversion", "services", "advice", "alarms", "product"):
        assert repr(getattr(again.oversight, part)) == repr(getattr(loop.state.oversight, part))
    assert repr(again.validation) == repr(loop.state.validation)  # NaN equals nothing


@dataclass
class Evil:
    """Would run a command when unpickled by the standard library."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_a_state_cannot_carry_foreign_code() -> None:
    loop = Loop()
    loop.cycle()
    state = replace(loop.state, brain=Evil())
    with pytest.raises(CodecError, match=r"builtins\.print"):
        decode_state(zlib.compress(pickle.dumps(state)))
    with pytest.raises(CodecError, match="not a saved state"):
        decode_state(zlib.compress(pickle.dumps(np.zeros(2))))


def test_the_hash_of_the_software_is_stable() -> None:
    assert software_hash() == software_hash()
    assert len(software_hash()) == 16


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "historian.sqlite")


def write(url: str, cycles: int) -> Loop:
    loop = Loop()
    with Historian(url, loop.setup, loop.state) as historian:
        for number in range(cycles):
            requests = (Mode.ADVISORY,) if number == 2 else ()
            historian.append(loop.cycle(*requests))
    return loop


def test_every_cycle_is_there_in_order_and_whole(url: str) -> None:
    loop = write(url, 7)
    history = History(url)
    records = list(history.records(1))
    assert [r.cycle for r in records] == list(range(1, 8))
    assert encode(records[-1]) == encode(loop.outputs[-1].record)
    assert [s.mode for s in history.summaries()] == ["MONITORING"] * 2 + ["ADVISORY"] * 5
    assert [r.cycle for r in history.records(1, 3, 5)] == [3, 4, 5]


def test_states_are_kept_at_the_start_at_mode_changes_and_now_and_then(url: str) -> None:
    write(url, 2 * STATE_EVERY + 5)
    history = History(url)
    kept = {history.state_at(1, n).cycle for n in range(2 * STATE_EVERY + 5)}
    assert kept == {0, 3, STATE_EVERY, 2 * STATE_EVERY}
    assert isinstance(history.state_at(1, 4), CycleState)


def test_a_second_start_in_the_same_run_counts_anew(url: str) -> None:
    write(url, 3)
    write(url, 2)
    history = History(url)
    assert history.starts() == [1, 2]
    assert [(s.start, s.cycle) for s in history.summaries()] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 2),
    ]
    assert history.facts(2)["algorithm"] == "nmpc"
    assert set(history.facts(1)["hashes"]) == {"software", "models", "configuration"}


def test_what_people_did_is_listed(url: str) -> None:
    write(url, 4)
    events = History(url).events()
    assert [(e["cycle"], e["kind"], e["who"]) for e in events] == [
        (3, "mode", "ada"),
        (3, "request", "ada"),
    ]
    assert events[0]["text"] == "MONITORING -> ADVISORY: test of the loop"


def test_the_database_is_written_ahead(url: str, tmp_path: Path) -> None:
    write(url, 1)
    with sqlite3.connect(tmp_path / "historian.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_without_history_is_refused(url: str) -> None:
    with pytest.raises(HistoryError, match="no history"):
        History(url)


def test_missing_starts_and_states_are_said(url: str) -> None:
    write(url, 1)
    history = History(url)
    with pytest.raises(HistoryError, match="no start 9"):
        history.facts(9)
    with pytest.raises(HistoryError, match="no state of start 9"):
        history.state_at(9, 5)


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A database whose writer was killed right after it said how far it was."""
    url = sqlite_url(tmp_path / "killed.sqlite")
    program = (
        "import sys, time\n"
        "from controller.records.historian import Historian\n"
        "from tests.controller.kit import Loop\n"
        "loop = Loop()\n"
        "historian = Historian(sys.argv[1], loop.setup, loop.state)\n"
        "while True:\n"
        "    historian.append(loop.cycle())\n"
        "    sys.stdout.write(f'{loop.state.cycle}\\n'); sys.stdout.flush()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = 0
    while said < 20:
        said = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().split()
    process.wait(10)
    process.stdout.close()
    yield url, int(rest[-1]) if rest else said


def test_a_killed_writer_loses_nothing_that_it_said_was_written(killed: tuple[str, int]) -> None:
    url, said = killed
    cycles = [r.cycle for r in History(url).records(1)]
    assert cycles == list(range(1, len(cycles) + 1))
    assert len(cycles) >= said
