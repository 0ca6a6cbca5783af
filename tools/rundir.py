"""The folder of a run: what lies where, who listens where, and where a process writes its log."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile

__all__ = ["Listening", "RunDir", "new_run"]

_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that runs: its address and its process."""

    endpoint: str
    pid: int


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths below the folder of a run."""

    path: Path

    @property
    def secrets(self) -> Path:
        """Passwords of this run."""
        return self.path / "secrets"

    @property
    def historian(self) -> Path:
        """Records of the controller."""
        return self.path / "historian.sqlite"

    def historian_of(self, name: str) -> Path:
        """Records of the controller, or of another one of this run such as its standby."""
        return self.historian if name == "controller" else self.path / f"{name}.sqlite"

    def log_to(self, name: str, level: int = logging.INFO) -> None:
        """Send the log of this process to ``logs/NAME.log``, warnings to standard error as well.

        The noise of the OPC UA library is left out.
        """
        folder = self.path / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        warnings = logging.StreamHandler()
        warnings.setLevel(logging.WARNING)
        file = logging.FileHandler(folder / f"{name}.log", encoding="utf-8")
        logging.basicConfig(level=level, format=_LOG_FORMAT, handlers=[file, warnings], force=True)
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)

    def keep(self, files: Iterable[Path]) -> None:
        """Copy configurations to ``config/``."""
        folder = self.path / "config"
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            copyfile(file, folder / file.name)

    def announce(self, name: str, endpoint: str) -> None:
        """Say that this process listens; atomically, as ``NAME.json``."""
        part = self.path / f"{name}.json.{os.getpid()}.part"
        part.write_text(json.dumps(asdict(Listening(endpoint, os.getpid()))), "utf-8")
        part.replace(self.path / f"{name}.json")

    def withdraw(self, name: str) -> None:
        """Take back what `announce` said."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    def listening(self, name: str) -> Listening | None:
        """What `announce` said, if anything."""
        try:
            said = json.loads((self.path / f"{name}.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return Listening(str(said["endpoint"]), int(said["pid"]))


def new_run(name: str, parent: Path = Path("runs")) -> RunDir:
    """Make ``runs/<UTC>-<name>``; a number is added if it exists."""
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "run"
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{word}"
    for number in range(1, 1000):
        path = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunDir(path)
    raise FileExistsError(f"{parent / stem} and 998 more exist")
