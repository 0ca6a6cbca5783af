"""Child processes of demo and tests: the plant and the controller, each as its own command.

A child is this interpreter running ``twinline``; it stops when its parent dies. Keys and passwords
of a run lie in a private folder that is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.pki import private_folder, twinline_home
from tools.rundir import Listening, RunDir
from tools.service import PARENT

__all__ = ["Child", "ChildFailed", "private_home", "start_command", "start_control", "start_plant"]

_READY_S = 60.0
_POLL_S = 0.05
_LAST_LINES = 20


class ChildFailed(RuntimeError):
    """A child ended before it was ready, or did not get ready in time."""


@dataclass
class Child:
    """A running command and the file that collects what it says."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_listening(self, run: RunDir, timeout_s: float = _READY_S) -> Listening:
        """Wait until the child has announced its server. Raises `ChildFailed`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = run.listening(self.name)
            if found is not None and found.pid == self.pid:
                return found
            if not self.running:
                code = self.process.returncode
                raise ChildFailed(f"{self.name} ended with {code}:\n{self.last_words()}")
            time.sleep(_POLL_S)
        raise ChildFailed(f"{self.name} is not ready after {timeout_s:g} s:\n{self.last_words()}")

    def last_words(self) -> str:
        """End of what it said."""
        text = self.output.read_text("utf-8", errors="replace") if self.output.is_file() else ""
        return "\n".join(text.splitlines()[-_LAST_LINES:])

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 15.0) -> int:
        """Ask it to end, insist after ``timeout_s``; exit status."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


@contextmanager
def private_home(run: Path) -> Iterator[Path]:
    """A home for the keys of one run, in ``TWINLINE_HOME``; it and the passwords go at the end.

    Compiled models are no secret: their cache stays that of the home before.
    """
    cache = private_folder(twinline_home() / "cache")
    home = private_folder(run / "home")
    (home / "cache").symlink_to(cache.resolve(), target_is_directory=True)
    before = os.environ.get("TWINLINE_HOME")
    os.environ["TWINLINE_HOME"] = str(home.resolve())
    try:
        yield home
    finally:
        if before is None:
            os.environ.pop("TWINLINE_HOME")
        else:
            os.environ["TWINLINE_HOME"] = before
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(RunDir(run).secrets, ignore_errors=True)


def start_command(name: str, arguments: Sequence[str | Path], run: RunDir) -> Child:
    """Start ``twinline ARGUMENTS``; what it says goes to ``logs/NAME.out``."""
    folder = run.path / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{name}.out"
    with output.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, PARENT: str(os.getpid())},
        )
    return Child(name, process, output)


def start_plant(run: RunDir, line: Path, *options: str | Path) -> Child:
    """Start the plant of a run on a free port, unless ``options`` name one."""
    port = () if "--port" in options else ("--port", "0")
    return start_command("plant", ["plant", line, "--run", run.path, *port, *options], run)


def start_control(run: RunDir, controller: Path, *options: str | Path) -> Child:
    """Start the controller of a run; it finds the plant by what the plant announced."""
    port = () if "--port" in options else ("--port", "0")
    return start_command(
        "controller", ["control", controller, "--run", run.path, *port, *options], run
    )
