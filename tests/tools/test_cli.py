"""The list of all commands: what it says is what they say, and it loads none of them."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tools.cli import COMMANDS, app

HEAVY = ("asyncua", "casadi", "sqlalchemy", "scipy")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_first_of_the_command_s_own_help(name: str) -> None:
    command = COMMANDS[name].load(name)
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == COMMANDS[name].line


def test_the_list_shows_every_command_and_loads_none() -> None:
    code = (
        "import sys\nfrom tools.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n"
        f"    print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert all(name in done.stdout for name in COMMANDS)


def test_a_name_that_no_command_has_is_refused() -> None:
    result = CliRunner().invoke(app, ["contol"])
    assert result.exit_code == 2
    assert "No such command 'contol'" in result.output


def test_a_group_shows_its_own_commands_and_no_completion() -> None:
    result = CliRunner().invoke(app, ["service", "--help"])
    assert result.exit_code == 0
    assert "completion" not in result.output
    assert CliRunner().invoke(app, ["advice"]).exit_code == 2  # it wants to be told what to do
