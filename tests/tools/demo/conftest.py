"""A recording of some minutes, prepared once, and its demo without the link."""

import gzip
import io
from pathlib import Path

import pytest
from rich.console import Console

from tools.demo import recorded
from tools.demo.recorded import (
    PreparedRecording,
    RecordedOrder,
    prepare_recorded,
    run_recorded,
)
from tools.recordings.thoughts import LinkComparison, Thoughts, compare
from tools.rundir import RunDir

# Of the extract of code 5, from the line of the file on: setting up, starts, a new thickness.
PARTS = ((201, 360), (1961, 370), (3781, 320))


def order_of(file: Path, run: Path, root: Path, minutes: float = 10.0) -> RecordedOrder:
    run.mkdir()
    return RecordedOrder(
        file=file,
        mapping=None,
        law="kawakita",
        minutes=minutes,
        run=RunDir(run),
        configs=root / "configs",
        headless=True,
    )


@pytest.fixture(scope="session")
def minutes_of_press(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches of about an hour each."""
    with gzip.open(root / "examples/recordings/press_code5.csv.gz", "rt") as stream:
        lines = stream.readlines()
    file = tmp_path_factory.mktemp("recorded") / "minutes.csv"
    rows = [line for first, count in PARTS for line in lines[first : first + count]]
    file.write_text(lines[0] + "".join(rows), "utf-8")
    return file


@pytest.fixture(scope="session")
def prepared(
    minutes_of_press: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> PreparedRecording:
    run = tmp_path_factory.mktemp("demo") / "run"
    return prepare_recorded(order_of(minutes_of_press, run, root), Console(quiet=True))


def run_without_link(
    prepared: PreparedRecording,
    monkeypatch: pytest.MonkeyPatch,
    online: Thoughts | None = None,
    failure: str = "",
) -> tuple[bool, str]:
    """Whether the demo succeeded, and what it printed; the link thinks ``online`` or fails."""

    def link(p: PreparedRecording, thoughts: Thoughts, *_: object) -> tuple[object, str]:
        if failure:
            return None, failure
        here = thoughts.last(p.link_rows)
        found: LinkComparison = compare(here, here if online is None else online)
        return found, p.link_note

    monkeypatch.setattr(recorded, "_over_the_link", link)
    printed = io.StringIO()
    succeeded = run_recorded(prepared, Console(width=160, file=printed))
    return succeeded, printed.getvalue()
