"""A measurement in a process of its own: the child's side.

``python -m tools.benchmarks.speed_child FD JSON`` does what the JSON object says (what to call,
with what, when it was asked to) and writes JSON lines to the file descriptor: one per step while
it measures, and at the end the result with start time and peak memory. A process of its own,
because memory and start of one solver are none of the other's business.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Reporter", "main", "peak_mb"]


@dataclass(slots=True)
class Reporter:
    """How a measurement tells what it has reached.

    ``spawned`` is the wall clock at which the process was asked for, ``send`` takes messages.
    """

    spawned: float
    send: Callable[[dict[str, Any]], None]
    start_s: float | None = None

    def ready(self) -> None:
        """The solver could decide now: the end of its start."""
        self.start_s = time.time() - self.spawned

    def step(self, _: int = 0) -> None:
        """One more step is done."""
        self.send({"step": 1})


def peak_mb() -> float:
    """Most memory that this process had resident [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says includes the parent's share before exec
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) / 1024.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def main(fd: int, text: str) -> None:
    """Do what ``text`` asks for; answer on file descriptor ``fd``."""
    asked = json.loads(text)
    with os.fdopen(fd, "w", encoding="utf-8") as out:

        def send(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        reporter = Reporter(float(asked["spawned"]), send)
        module, _, name = str(asked["target"]).partition(":")
        result = getattr(importlib.import_module(module), name)(reporter, **asked["arguments"])
        send({"result": {"start_s": reporter.start_s, "peak_mb": peak_mb(), **result}})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
