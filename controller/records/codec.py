"""Cycle records as bytes, exactly: floats and arrays come back bit for bit.

A blob is ``zlib(magic, length, JSON, arrays)``: a self-describing document with the arrays behind
it as raw little-endian memory, so that a reader in any language can take it apart. In the document
``~`` names a record class, ``~e`` an enumeration member, ``~t`` a tuple, ``~m`` a mapping with keys
that are not plain text and ``~a`` an array (offset, shape, type). Snapshots and measurements are
stored by column. JSON is extended by ``NaN`` and ``Infinity``, as Python writes them.

`encode_state` and `decode_state` carry a whole `CycleState`, whose algorithm part has any shape:
a pickle, read back by an unpickler that knows only our classes and arrays.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from controller import brain, cycle_data, data, targets
from controller.alarms import requests as alarm_requests
from controller.cycle_data import CycleState
from controller.products import requests as product_requests
from controller.supervision import advice_data, findings, modes, requests, service_data
from plant_models import signals

__all__ = ["CodecError", "decode", "decode_state", "encode", "encode_state"]

_MAGIC = b"TWR1"
_HEADER = struct.Struct("<4sI")
_LEVEL = 1

_CLASSES: dict[str, type[Any]] = {
    c.__name__: c
    for c in (
        brain.Forced,
        cycle_data.CycleInputs,
        targets.TargetAnswer,
        targets.TargetRequest,
        data.Command,
        data.CycleRecord,
        data.Estimate,
        data.Forecast,
        data.Interval,
        data.LabSample,
        data.Measurement,
        data.Plan,
        data.Relaxation,
        data.SteadyReport,
        data.Targets,
        data.Validated,
        advice_data.AdviceRequest,
        alarm_requests.AlarmRequest,
        findings.LinkStatus,
        product_requests.ProductRequest,
        requests.Answered,
        service_data.LimitRequest,
        service_data.ServiceRequest,
        modes.Answer,
        modes.ModeRequest,
        modes.Transition,
        signals.CommandFrame,
        signals.Snapshot,
        signals.Value,
    )
}
_ENUMS: dict[str, type[Enum]] = {
    e.__name__: e
    for e in (
        data.CV,
        data.Mode,
        data.ReachedBy,
        data.Verdict,
        advice_data.AdviceAction,
        alarm_requests.AlarmAction,
        modes.By,
        product_requests.ProductAction,
        signals.LineState,
        signals.PlcMode,
        signals.RefillPhase,
    )
}
_FIELDS = {c: tuple(f.name for f in fields(c)) for c in _CLASSES.values()}


class CodecError(ValueError):
    """A blob that is not a record, or a value that has no place in one."""


class _Arrays:
    """Raw memory behind the document."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def put(self, array: np.ndarray[Any, Any]) -> dict[str, Any]:
        if array.dtype.kind not in "fiub":
            raise CodecError(f"an array of type {array.dtype} has no place in a record")
        fixed = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        raw = fixed.tobytes()
        place = {"~a": [self.size, list(array.shape), fixed.dtype.str]}
        self.parts.append(raw)
        self.size += len(raw)
        return place


def _pack(x: Any, arrays: _Arrays) -> Any:
    kind = type(x)
    if kind is float or kind is str or kind is int or kind is bool or x is None:
        return x
    if isinstance(x, np.ndarray):
        return arrays.put(x)
    if isinstance(x, Enum):
        if _ENUMS.get(kind.__name__) is not kind:
            raise CodecError(f"{kind.__name__} is not an enumeration of a record")
        return {"~e": [kind.__name__, x.value]}
    if kind is tuple:
        return {"~t": [_pack(v, arrays) for v in x]}
    if kind is list:
        return [_pack(v, arrays) for v in x]
    if isinstance(x, Mapping):
        if all(type(k) is str and not k.startswith("~") for k in x):
            return {k: _pack(v, arrays) for k, v in x.items()}
        return {"~m": [[_pack(k, arrays), _pack(v, arrays)] for k, v in x.items()]}
    if kind is signals.Snapshot:
        return _pack_snapshot(x, arrays)
    if kind in _FIELDS:
        packed: dict[str, Any] = {"~": kind.__name__}
        for name in _FIELDS[kind]:
            value = getattr(x, name)
            if kind is data.Validated and name == "measurements":
                packed[name] = _pack_measurements(value)
            else:
                packed[name] = _pack(value, arrays)
        return packed
    if isinstance(x, (np.floating, np.integer, np.bool_)):
        return _pack(x.item(), arrays)
    raise CodecError(f"{kind.__name__} has no place in a record")


def _pack_snapshot(x: signals.Snapshot, arrays: _Arrays) -> dict[str, Any]:
    items = x.values.values()
    return {
        "~": "Snapshot",
        "time": x.time,
        "scan_id": x.scan_id,
        "tags": list(x.values),
        "values": [_pack(v.value, arrays) for v in items],
        "statuses": [v.status for v in items],
        "source_times": [v.source_time for v in items],
    }


def _pack_measurements(x: Mapping[str, data.Measurement]) -> dict[str, Any]:
    items = x.values()
    return {
        "tags": list(x),
        "values": [float(m.value) for m in items],
        "weights": [float(m.weight) for m in items],
        "verdicts": [m.verdict.value for m in items],
        "reasons": [m.reason for m in items],
        "source_times": [float(m.source_time) for m in items],
    }


def _unpack(x: Any, raw: bytes) -> Any:
    if isinstance(x, list):
        return [_unpack(v, raw) for v in x]
    if not isinstance(x, dict):
        return x
    if "~" in x:
        return _unpack_record(x, raw)
    if "~a" in x:
        offset, shape, kind = x["~a"]
        count = int(np.prod(shape, dtype=int))
        flat = np.frombuffer(raw, dtype=np.dtype(kind), count=count, offset=offset)
        return flat.reshape(shape).copy()
    if "~e" in x:
        name, value = x["~e"]
        if name not in _ENUMS:
            raise CodecError(f"unknown enumeration {name!r}")
        return _ENUMS[name](value)
    if "~t" in x:
        return tuple(_unpack(v, raw) for v in x["~t"])
    if "~m" in x:
        return {_unpack(k, raw): _unpack(v, raw) for k, v in x["~m"]}
    return {k: _unpack(v, raw) for k, v in x.items()}


def _unpack_record(x: dict[str, Any], raw: bytes) -> Any:
    name = x["~"]
    if name not in _CLASSES:
        raise CodecError(f"unknown record {name!r}")
    if name == "Snapshot":
        rows = zip(x["tags"], x["values"], x["statuses"], x["source_times"], strict=True)
        values = {t: signals.Value(_unpack(v, raw), s, at) for t, v, s, at in rows}
        return signals.Snapshot(time=x["time"], scan_id=x["scan_id"], values=values)
    found = {k: _unpack(v, raw) for k, v in x.items() if k not in ("~", "measurements")}
    if "measurements" in x:
        found["measurements"] = _unpack_measurements(x["measurements"])
    return _CLASSES[name](**found)


def _unpack_measurements(x: dict[str, Any]) -> dict[str, data.Measurement]:
    rows = zip(
        x["tags"],
        x["values"],
        x["weights"],
        x["verdicts"],
        x["reasons"],
        x["source_times"],
        strict=True,
    )
    return {
        tag: data.Measurement(
            value=v, weight=w, verdict=data.Verdict(verdict), reason=reason, source_time=at
        )
        for tag, v, w, verdict, reason, at in rows
    }


def encode(record: Any) -> bytes:
    """A record, or any part of one, as a compressed blob; equal values give equal bytes."""
    if not (is_dataclass(record) or isinstance(record, (Mapping, tuple, list)) or record is None):
        raise CodecError(f"{type(record).__name__} is not a record")
    arrays = _Arrays()
    document = json.dumps(_pack(record, arrays), separators=(",", ":")).encode()
    head = _HEADER.pack(_MAGIC, len(document))
    return zlib.compress(b"".join([head, document, *arrays.parts]), _LEVEL)


def decode(blob: bytes) -> Any:
    """What `encode` was given. Raises `CodecError` for anything else."""
    try:
        body = zlib.decompress(blob)
        magic, length = _HEADER.unpack_from(body)
    except (zlib.error, struct.error) as error:
        raise CodecError(f"not a record: {error}") from error
    if magic != _MAGIC:
        raise CodecError(f"not a record: it begins with {magic!r}")
    start = _HEADER.size
    return _unpack(json.loads(body[start : start + length]), body[start + length :])


_ARRAY_GLOBALS = frozenset(
    {
        ("builtins", "complex"),
        ("builtins", "frozenset"),
        ("builtins", "set"),
        ("collections", "OrderedDict"),
        ("collections", "deque"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


def _member(kind: Any, name: str) -> Enum:
    """Member of one of our enumerations: some Python versions save them as an attribute's name."""
    if not (isinstance(kind, type) and issubclass(kind, Enum)) or name not in kind.__members__:
        raise CodecError(f"{name!r} of {kind!r} has no place in a saved state")
    return kind[name]


class _Unpickler(pickle.Unpickler):
    """Knows the classes of `controller` and `plant_models`, and arrays; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _member
        ours = module.split(".", 1)[0] in ("controller", "plant_models") and "." not in name
        if not ours and (module, name) not in _ARRAY_GLOBALS:
            raise CodecError(f"{module}.{name} has no place in a saved state")
        found = super().find_class(module, name)
        if ours and not isinstance(found, type):
            raise CodecError(f"{module}.{name} is not a class")
        return found


def encode_state(state: CycleState) -> bytes:
    """The whole state of the controller after a cycle."""
    return zlib.compress(pickle.dumps(state, protocol=5), _LEVEL)


def decode_state(blob: bytes) -> CycleState:
    """What `encode_state` was given. Raises `CodecError` for anything else."""
    try:
        state = _Unpickler(io.BytesIO(zlib.decompress(blob))).load()
    except CodecError:
        raise
    except (zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise CodecError(f"not a saved state: {error}") from error
    except (AttributeError, ImportError, IndexError, TypeError, ValueError) as error:
        raise CodecError(f"a state saved by other software: {error}") from error
    if not isinstance(state, CycleState):
        raise CodecError(f"a {type(state).__name__} is not a saved state")
    return state
