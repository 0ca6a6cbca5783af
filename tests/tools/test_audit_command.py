"""``twinline audit``: logins and calls of a run, for people and for machines."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.records.audit import AuditTrail
from controller.records.historian import sqlite_url
from tools.audit_trail import calls_to, logins_to
from tools.cli import app
from tools.security import LoginEvent, LoginOutcome


@dataclass
class Ada:
    session: str = "i=7"
    user: str = "ada"
    role: str = "operator"


def login(user: str, outcome: LoginOutcome, text: str) -> LoginEvent:
    return LoginEvent(time=0.0, user=user, remote="10.0.0.7", outcome=outcome, text=text)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with AuditTrail(sqlite_url(tmp_path / "historian.sqlite")) as trail:
        logins, calls = logins_to(trail), calls_to(trail, lambda: 86_400.0)
        logins(login("eve", LoginOutcome.REFUSED, "refused: wrong name or password"))
        logins(login("eve", LoginOutcome.LOCKING, "refused; locked for 60 s: user"))
        logins(login("eve", LoginOutcome.LOCKED, "refused: the user is locked"))
        logins(login("ada", LoginOutcome.ACCEPTED, "accepted as operator"))
        calls(Ada(), "RequestMode(mode='[bold]')", "by hand", False, "is no mode")
    return tmp_path


def rows(run: Path, *options: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["audit", str(run), "--json", *options])
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.output)
    return found


def test_machines_get_every_entry_but_those_that_a_lock_turned_away(run: Path) -> None:
    found = rows(run)
    assert [(r["user"], r["what"], r["accepted"]) for r in found] == [
        ("eve", "login", False),
        ("eve", "login", False),
        ("ada", "login", True),
        ("ada", "RequestMode(mode='[bold]')", False),
    ]
    assert found[1]["answer"] == "refused; locked for 60 s: user"
    assert (found[2]["origin"], found[3]["origin"]) == ("10.0.0.7", "session i=7")
    assert (found[3]["role"], found[3]["reason"]) == ("operator", "by hand")
    assert [r["user"] for r in rows(run, "--user", "ada")] == ["ada", "ada"]


def test_people_get_a_table(run: Path) -> None:
    result = CliRunner().invoke(
        app, ["audit", str(run / "historian.sqlite")], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0
    assert "1970-01-02 00:00:00" in result.output
    assert "RequestMode(mode='[bold]')" in result.output and "by hand" in result.output


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert result.exit_code == 2 and "there is no" in result.output
    (tmp_path / "historian.sqlite").write_bytes(b"no database" * 100)
    assert CliRunner().invoke(app, ["audit", str(tmp_path)]).exit_code == 2
