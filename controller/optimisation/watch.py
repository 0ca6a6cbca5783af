"""A call that may never return, waited for no longer than its time allows.

The solver runs in a thread of its own. If it has not answered in time it is left alone: the caller
goes on with its next choice, and until the call has returned the solver is not asked again, since
its buffers are in use. What it says too late is thrown away. A solver that hangs while it holds the
interpreter cannot be helped from inside the process; there the plant's watchdog sheds.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Watch"]

Result = TypeVar("Result")


class Watch(Generic[Result]):
    """Runs calls one at a time in a daemon thread, which is started when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Result], Future[Result]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._last: Future[Result] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call that was given up has still not returned."""
        return self._last is not None and not self._last.done()

    def call(self, work: Callable[[], Result], seconds: float) -> Result:
        """Result of ``work``, or whatever it raised.

        Raises
        ------
        TimeoutError
            If there is none within ``seconds``, or an earlier call is still running.
        """
        if self.busy:
            raise TimeoutError("still busy with an earlier problem")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._last = Future()
        self._jobs.put((work, self._last))
        try:
            return self._last.result(max(seconds, 0.0))
        except TimeoutError:
            if self._last.done():  # raised by the work itself, or just in time
                return self._last.result()
            raise TimeoutError(f"no answer within {seconds:.3g} s") from None

    def _run(self) -> None:
        while True:
            work, answer = self._jobs.get()
            try:
                answer.set_result(work())
            except BaseException as error:  # whoever asked gets it
                answer.set_exception(error)
            del work, answer  # nothing of a finished call is kept alive
