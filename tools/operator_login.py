"""Where a person finds the controller of a run, and the password for it."""

from __future__ import annotations

from pathlib import Path

import typer

from controller.config import LinkConfig
from tools.rundir import RunDir
from tools.security import read_password

__all__ = ["address_of", "password_of"]


def password_of(folder: RunDir | None, user: str, file: Path | None) -> str:
    """Password from ``file``, from the run's secrets, or asked for."""
    if file is None and folder is not None:
        kept = folder.secrets / f"{user}.password"
        file = kept if kept.is_file() else None
    if file is not None:
        return read_password(file)
    answer: str = typer.prompt(f"Password of {user}", hide_input=True)
    return answer


def address_of(folder: RunDir | None, name: str = "controller") -> str:
    """Where the controller of a run, or its standby, listens; by default where configured."""
    listening = folder.listening(name) if folder is not None else None
    return listening.endpoint if listening is not None else LinkConfig().operator_endpoint
