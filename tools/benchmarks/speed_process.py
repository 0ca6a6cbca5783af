"""A measurement in a process of its own: the parent's side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["MeasurementError", "measure"]

_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TAIL = 2000


class MeasurementError(RuntimeError):
    """A measuring process ended without a result; says which, and its last words."""


def measure(
    target: str, on_step: Callable[[], None] | None = None, **arguments: Any
) -> dict[str, Any]:
    """Call ``target`` (``module:function``) in a new process with one thread for linear algebra.

    Parameters
    ----------
    target
        Takes a `tools.benchmarks.speed_child.Reporter` and the arguments, returns plain data.
    on_step
        Called for each step that the process reports.
    arguments
        Plain data.

    Returns
    -------
    What the target returned, with ``start_s`` (until it was ready) and ``peak_mb``.
    """
    environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
    environment["PYTHONPATH"] = os.pathsep.join(
        (str(_ROOT), *filter(None, [environment.get("PYTHONPATH")]))
    )
    reading, writing = os.pipe()
    asked = json.dumps({"target": target, "arguments": arguments, "spawned": time.time()})
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        child = subprocess.Popen(
            [sys.executable, "-m", "tools.benchmarks.speed_child", str(writing), asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the solvers' own tables
            stderr=words,
            pass_fds=(writing,),
            env=environment,
            text=True,
        )
        os.close(writing)
        try:
            with os.fdopen(reading, encoding="utf-8") as messages:
                result = _listen(messages, on_step)
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if result is None or code != 0:
            words.seek(0)
            raise MeasurementError(
                f"{target} with {arguments} ended with exit status {code}: "
                f"{words.read()[-_TAIL:].strip()}"
            )
    return result


def _listen(messages: Any, on_step: Callable[[], None] | None) -> dict[str, Any] | None:
    for line in messages:
        message: dict[str, Any] = json.loads(line)
        if "result" in message:
            return dict(message["result"])
        if on_step is not None:
            on_step()
    return None
