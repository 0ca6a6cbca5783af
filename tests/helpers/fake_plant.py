"""A plant small enough to see through: counts, remembers what it was told, moves a few numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from plant_models.signals import (
    APC,
    GOOD,
    PLC,
    DataType,
    Payload,
    SignalTable,
    Value,
)

START = 1_700_000_000.0


@dataclass
class FakePlant:
    """Implements `hil.server.PlantPort`. ``batches`` are the Write calls as (session, writes)."""

    table: SignalTable
    seconds: int = 0
    batches: list[tuple[str, dict[str, Payload]]] = field(default_factory=list)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    written: dict[str, Payload] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    version: str = ""
    speed: float = 0.0

    def __post_init__(self) -> None:
        self.version = self.version or self.table.model_version()

    def forget(self) -> None:
        for record in (
            self.batches,
            self.calls,
            self.released,
            self.written,
            self.refuse,
            self.bad,
        ):
            record.clear()

    @property
    def time(self) -> float:
        return START + self.seconds

    def advance(self, seconds: int) -> None:
        self.seconds += seconds

    def values(self) -> Mapping[str, Value]:
        found: dict[str, Value] = {}
        for signal in self.table:
            status = self.bad.get(signal.tag, GOOD)
            found[signal.tag] = Value(self._value(signal.tag), status, self.time)
        return found

    def _value(self, tag: str) -> Payload:
        if tag in (PLC.HB, PLC.SCAN_ID):
            return self.seconds
        if tag == PLC.TIME:
            return self.time
        if tag == PLC.SPEED:
            return self.speed
        if tag == PLC.MODEL_VERSION:
            return self.version
        if tag in self.written:
            return self.written[tag]
        kind = self.table[tag].data_type
        if kind is DataType.DOUBLE:
            signal = self.table[tag]
            middle = 0.5 * ((signal.lo or 0.0) + (signal.hi or 0.0))
            return middle + 0.001 * self.seconds
        if kind is DataType.DOUBLE_ARRAY:
            return (1.0, 2.0, 3.0)
        if kind is DataType.STRING:
            return "none"
        if kind is DataType.BOOLEAN:
            return True
        return self.time if kind is DataType.DATETIME else 0

    def write(self, session: str, writes: Mapping[str, Payload]) -> dict[str, int]:
        self.batches.append((session, dict(writes)))
        codes = {tag: self.refuse.get(tag, GOOD) for tag in writes}
        self.written |= {tag: v for tag, v in writes.items() if codes[tag] == GOOD}
        return codes

    def request_control(self, session: str, user: str, mode: str, epoch: int, reason: str) -> str:
        self.calls.append(("request_control", session, user, mode, epoch, reason))
        self.written[APC.EPOCH] = epoch
        return "granted"

    def operator_set(self, user: str, mv: str, value: float, reason: str) -> str:
        self.calls.append(("operator_set", user, mv, value, reason))
        return "done"

    def set_local(self, user: str, mv: str, local: bool, reason: str) -> str:
        self.calls.append(("set_local", user, mv, local, reason))
        return "done"

    def line_command(self, user: str, command: str, reason: str) -> str:
        self.calls.append(("line_command", user, command, reason))
        return "done"

    def load_recipe(self, user: str, recipe: str, cleaning: str, reason: str) -> str:
        self.calls.append(("load_recipe", user, recipe, cleaning, reason))
        return "done"

    def release_session(self, session: str) -> None:
        self.released.append(session)
