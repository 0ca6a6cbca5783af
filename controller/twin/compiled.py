"""Roll-outs of a stage function: compiled C where there is a compiler, CasADi's machine elsewhere.

One call rolls the state out over ``N`` stages and returns every stage's sensitivities. The shared
object is cached by the hash of its C text, the compiler's flags, the CasADi version and the
processor, beside a checksum: an entry that does not match its checksum is built again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array

__all__ = [
    "Rollout",
    "RolloutResult",
    "Simulation",
    "build_rollout",
    "build_simulation",
    "compile_c",
    "compiled",
]

_log = logging.getLogger(__name__)
_FLAGS = ("-O1", "-fPIC", "-shared")


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """States and outputs after each stage with their sensitivities; last axis is the stage.

    ``x`` (nx, N), ``a`` (nx, nx, N) by the state before, ``bp`` (nx, np, N) by the parameters,
    ``bv`` (nx, nv, N) by the inputs; ``y`` (ny, N), ``hx``, ``hp``, ``hv`` alike, ``hx`` by the
    state *after* the stage. Views into buffers that the next call overwrites.
    """

    x: Array
    a: Array
    bp: Array
    bv: Array
    y: Array
    hx: Array
    hp: Array
    hv: Array


class Rollout:
    """A roll-out over a fixed number of stages. Not for use by several threads at once."""

    def __init__(self, function: Any, stages: int, compiled: bool) -> None:
        self.stages = stages
        self.compiled = compiled
        self._function = function
        self._buffer, self._evaluate = function.buffer()
        shapes = [function.size_in(i) for i in range(3)]
        self._args = [np.zeros(rows * cols) for rows, cols in shapes]
        for i, arg in enumerate(self._args):
            self._buffer.set_arg(i, arg.data)
        self._results = []
        for i in range(8):
            rows, cols = function.size_out(i)
            flat = np.zeros(rows * cols)
            self._buffer.set_res(i, flat.data)
            self._results.append(flat.reshape((rows, cols // stages, stages), order="F"))

    def __call__(self, x0: Array, parameters: Array, inputs: Array) -> RolloutResult:
        """Roll out from ``x0`` (nx,) under ``parameters`` (np, N) and ``inputs`` (nv, N)."""
        self._args[0][:] = x0
        self._args[1][:] = parameters.ravel(order="F")
        self._args[2][:] = inputs.ravel(order="F")
        self._evaluate()
        x, a, bp, bv, y, hx, hp, hv = self._results
        return RolloutResult(x[:, 0, :], a, bp, bv, y[:, 0, :], hx, hp, hv)


class Simulation:
    """A roll-out without sensitivities over a fixed number of stages. One thread only."""

    def __init__(self, function: Any, stages: int) -> None:
        self.stages = stages
        self._buffer, self._evaluate = function.buffer()
        self._args = [np.zeros(function.numel_in(i)) for i in range(3)]
        for i, arg in enumerate(self._args):
            self._buffer.set_arg(i, arg.data)
        self._results = [np.zeros(function.numel_out(i)) for i in range(2)]
        for i, result in enumerate(self._results):
            self._buffer.set_res(i, result.data)

    def __call__(self, x0: Array, parameters: Array, inputs: Array) -> Array:
        """Outputs (ny, N) from ``x0`` (nx,) under ``parameters`` (np, N), ``inputs`` (nv, N)."""
        self._args[0][:] = x0
        self._args[1][:] = parameters.ravel(order="F")
        self._args[2][:] = inputs.ravel(order="F")
        self._evaluate()
        return self._results[1].reshape((-1, self.stages), order="F").copy()


def build_simulation(stage: Any, stages: int, cache: Path | None) -> Simulation:
    """Roll-out of ``stage`` ``(x, p, v) -> (x+, y)``; compiled into ``cache`` if possible."""
    function, _ = compiled(stage.mapaccum(f"simulation_{stages}", stages), cache)
    return Simulation(function, stages)


def build_rollout(stage: Any, stages: int, cache: Path | None) -> Rollout:
    """Roll-out of ``stage`` over ``stages``; compiled into ``cache`` if given and possible."""
    function, done = compiled(stage.mapaccum(f"rollout_{stages}", stages), cache)
    return Rollout(function, stages, compiled=done)


def compiled(function: Any, cache: Path | None) -> tuple[Any, bool]:
    """``function`` compiled into ``cache``, if given and possible, and whether it is compiled."""
    if cache is None or _compiler() is None:
        return function, False
    name = function.name()
    with tempfile.TemporaryDirectory() as folder:
        text = _generate(function, Path(folder))
    target = compile_c(name, text, cache, _FLAGS)
    return (function, False) if target is None else (ca.external(name, str(target)), True)


def compile_c(name: str, text: str, cache: Path, flags: tuple[str, ...]) -> Path | None:
    """Shared object of a C text, from the cache if it is there whole; ``None`` if there is none.

    Without a compiler, or if it fails, there is none, and a warning says what it said.
    """
    compiler = _compiler()
    if compiler is None:
        return None
    parts = (text, " ".join(flags), ca.CasadiMeta.version(), platform.machine())
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    target = cache / f"{name}-{key}.so"
    if _intact(target):
        return target
    _log.info("compiling %s, once: it is kept in %s", name, cache)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / f"{name}.c", Path(folder) / "built.so"
        source.write_text(text)
        command = [compiler, *flags, str(source), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            _log.warning("no compiled %s, using the slower machine: %s", name, done.stderr)
            return None
        _store(built, target)
    _log.info("compiled %s in %.1f s", name, time.perf_counter() - began)
    return target


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def _generate(function: Any, folder: Path) -> str:
    generator = ca.CodeGenerator(f"{function.name()}.c")
    generator.add(function)
    generator.generate(f"{folder}{os.sep}")
    return (folder / f"{function.name()}.c").read_text()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _intact(target: Path) -> bool:
    mark = target.with_suffix(".sha256")
    if not (target.exists() and mark.exists()):
        return False
    return mark.read_text().strip() == _digest(target)


def _store(built: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    shutil.copyfile(built, part)
    mark = target.with_suffix(f".{os.getpid()}.mark")
    mark.write_text(_digest(part))
    os.replace(part, target)
    os.replace(mark, target.with_suffix(".sha256"))
