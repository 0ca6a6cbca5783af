"""The reference solver as the chain's second rung, built only when it is first needed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from controller.data import Array
from controller.optimisation.chain import Reference
from controller.optimisation.fast import Solution
from controller.optimisation.problem import OcpProblem
from controller.optimisation.reference import DoMpcReference
from controller.twin.core import ControlTwin

__all__ = ["LazyReference", "lazy_reference"]

_log = logging.getLogger(__name__)
_TOLERANCE = 1e-4  # of the optimality conditions, scaled
_LEAST_S = 0.05  # less time than this is not worth a start [s]


class LazyReference:
    """A reference solver that is built beside the cycle at the first call.

    The normal start pays nothing. The first call begins to build in a thread of its own and waits
    for it as long as its time allows; if that is too short, the call fails with a verdict, and a
    later one finds the reference ready.

    Parameters
    ----------
    make
        Builds the reference for problems like the given one.
    """

    def __init__(self, make: Callable[[OcpProblem], Reference]) -> None:
        self._make = make
        self._ready: Future[Reference] | None = None

    def __call__(self, problem: OcpProblem, guess: Array, seconds_left: float) -> Solution:
        """Solve ``problem`` within ``seconds_left``; raises what the construction raised."""
        if seconds_left < _LEAST_S:
            return Solution.failed(problem, guess, "no time left")
        began = time.perf_counter()
        if self._ready is None:
            self._ready = self._build(problem)
        try:
            reference = self._ready.result(seconds_left)
        except TimeoutError:
            return Solution.failed(problem, guess, "being built")
        return reference(problem, guess, seconds_left - (time.perf_counter() - began))

    def _build(self, problem: OcpProblem) -> Future[Reference]:
        ready: Future[Reference] = Future()

        def build_it() -> None:
            began = time.perf_counter()
            try:
                ready.set_result(self._make(problem))
            except Exception as error:  # whoever asks for the result gets it
                ready.set_exception(error)
            _log.info("reference solver built in %.1f s", time.perf_counter() - began)

        threading.Thread(target=build_it, name="reference").start()
        return ready


def lazy_reference(twin: ControlTwin, iterations: int) -> LazyReference:
    """do-mpc and IPOPT on ``twin``, with at most ``iterations`` per solution.

    Converged as far as a plan of one cycle needs: the objective is within 1e-4 of the optimum.
    """

    def make(problem: OcpProblem) -> Reference:
        return DoMpcReference(
            twin, problem.grid, problem.zones, iterations=iterations, tolerance=_TOLERANCE
        )

    return LazyReference(make)
