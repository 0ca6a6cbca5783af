"""The audit trail: it keeps everything in order, only grows, and never stands in anybody's way."""

import logging
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from controller.records.audit import LONGEST_TEXT, MOST_WAITING, AuditEntry, AuditTrail, read_audit
from controller.records.historian import Historian, History, sqlite_url
from tests.controller.kit import Loop


def entry(number: int, user: str = "ada", **more: str) -> AuditEntry:
    said = {"what": f"call {number}", "answer": "done"} | more
    return AuditEntry(time=1000.0 + number, user=user, role="operator", accepted=True, **said)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "historian.sqlite")


def test_entries_come_back_as_they_were_noted_also_after_another_start(url: str) -> None:
    with AuditTrail(url) as trail:
        trail.note(entry(1, reason="because", origin="session 7"))
        trail.note(entry(2, user="ben"))
    with AuditTrail(url) as trail:
        trail.note(entry(3))
    one = entry(1, reason="because", origin="session 7")
    assert read_audit(url) == [one, entry(2, user="ben"), entry(3)]
    assert read_audit(url, "ada") == [one, entry(3)]


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET answer = 'no'"])
def test_the_database_refuses_to_change_or_delete_a_row(url: str, statement: str) -> None:
    with AuditTrail(url) as trail:
        trail.note(entry(1))
    engine = sa.create_engine(url)
    with pytest.raises(sa.exc.IntegrityError, match="only grows"), engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
    assert read_audit(url) == [entry(1)]


def test_it_lives_beside_the_records_of_the_cycles(url: str) -> None:
    loop = Loop()
    with AuditTrail(url) as trail, Historian(url, loop.setup, loop.state) as historian:
        for number in range(5):
            trail.note(entry(number))
            historian.append(loop.cycle())
    history = History(url)
    assert len(history.summaries()) == len(read_audit(url)) == 5
    history.close()


def test_a_run_without_a_trail_has_no_entries(url: str) -> None:
    assert read_audit(url) == []


def test_texts_of_strangers_forge_no_line_and_are_cut(url: str) -> None:
    with AuditTrail(url) as trail:
        trail.note(entry(1, user="eve\n2026 ada: all good", reason="x" * 10_000))
    (kept,) = read_audit(url)
    assert kept.user == "eve\ufffd2026 ada: all good"
    assert len(kept.reason) == LONGEST_TEXT


def test_what_cannot_be_written_is_in_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    held = threading.Event()

    class Held(AuditTrail):
        def _write(self, entry: AuditEntry) -> None:
            held.wait(10.0)
            raise OSError("the disk is full")

    trail = Held(url)
    with caplog.at_level(logging.ERROR):
        for number in range(MOST_WAITING + 1):
            trail.note(entry(number))
        (lost,) = caplog.messages
        assert f"{MOST_WAITING} audit entries wait" in lost and f"call {MOST_WAITING}" in lost
        caplog.clear()
        held.set()
        trail.close()
        assert len(caplog.messages) == MOST_WAITING
        assert "the disk is full" in caplog.messages[0] and "call 0" in caplog.messages[0]
        caplog.clear()
        trail.note(entry(1))
        assert "closed" in caplog.messages[0] and "call 1" in caplog.messages[0]
