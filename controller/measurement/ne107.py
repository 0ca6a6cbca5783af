"""Defects of measurements: NAMUR NE 107 category of each, and what is done about it.

`DEFECTS` is the whole rule as one table. What validation dropped a reading for is taken over by its
reason (`defect_of`), so that no check is made twice.

References
----------
NAMUR NE 107 (2006, revised 2017), the four status signals; meanings after second-hand texts. Map to
OPC UA: failure and function check are Bad, out of specification is Uncertain, maintenance is Good.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "DEFECTS",
    "Defect",
    "DefectAction",
    "DefectRow",
    "Ne107",
    "SignalHealth",
    "defect_of",
]


class Ne107(StrEnum):
    """Status signals of NAMUR NE 107, best first."""

    GOOD = "good"
    MAINTENANCE = "maintenance required"
    OUT_OF_SPEC = "out of specification"
    CHECK = "function check"
    FAILURE = "failure"


class DefectAction(StrEnum):
    """What is done with a measurement, mildest first.

    ``SUBSTITUTE``: no weight, the twin stands in for as long as the loss ladder allows; ``DEGRADE``
    and ``SHED`` are what the ladder does after that.
    """

    USE = "use"
    DOWN_WEIGHT = "down-weight"
    SUBSTITUTE = "substitute by the twin"
    DEGRADE = "degrade"
    SHED = "shed"


class Defect(StrEnum):
    """What is wrong with a measurement."""

    NONE = "none"
    CONTEXT = "cannot be measured now"
    NOT_NEW = "no new reading"
    UNCERTAIN = "uncertain by its own status"
    SPIKE = "spike"
    SPIKING = "spikes often"
    DRIFT = "drifts against redundant information"
    DISPUTED = "one of several that contradict each other"
    BIAS = "far from redundant information"
    TWIN = "disagrees with the twin"
    RATE = "changes faster than it can"
    CLOCK_CORRECTED = "source clock wrong, corrected"
    CLOCK = "source clock wrong"
    STALE = "too old"
    RANGE = "outside its range"
    FROZEN = "frozen"
    FOULED = "window fouled"
    UNIT = "wrong unit or scale"
    TYPE = "wrong data type"
    NOT_A_NUMBER = "not a number"
    BAD_STATUS = "bad by its own status"
    NO_VALUE = "no value"


@dataclass(frozen=True, slots=True)
class DefectRow:
    """A row of `DEFECTS`. ``certain``: one reading suffices to call the instrument lost."""

    category: Ne107
    action: DefectAction
    certain: bool = False


_G, _M, _S, _C, _F = tuple(Ne107)
_USE, _DOWN, _TWIN = DefectAction.USE, DefectAction.DOWN_WEIGHT, DefectAction.SUBSTITUTE

DEFECTS: Mapping[Defect, DefectRow] = {
    Defect.NONE: DefectRow(_G, _USE),
    Defect.CONTEXT: DefectRow(_G, _TWIN),
    Defect.NOT_NEW: DefectRow(_G, _TWIN),
    Defect.UNCERTAIN: DefectRow(_S, _DOWN),
    Defect.SPIKE: DefectRow(_G, _TWIN),
    Defect.SPIKING: DefectRow(_M, _DOWN),
    Defect.DRIFT: DefectRow(_M, _USE),
    Defect.DISPUTED: DefectRow(_M, _USE),
    Defect.BIAS: DefectRow(_S, _USE),
    Defect.TWIN: DefectRow(_S, _TWIN),
    Defect.RATE: DefectRow(_S, _TWIN),
    Defect.CLOCK_CORRECTED: DefectRow(_M, _USE),
    Defect.CLOCK: DefectRow(_S, _TWIN),
    Defect.STALE: DefectRow(_F, _TWIN),
    Defect.RANGE: DefectRow(_F, _TWIN),
    Defect.FROZEN: DefectRow(_F, _TWIN, certain=True),
    Defect.FOULED: DefectRow(_C, _TWIN, certain=True),
    Defect.UNIT: DefectRow(_C, _TWIN, certain=True),
    Defect.TYPE: DefectRow(_F, _TWIN, certain=True),
    Defect.NOT_A_NUMBER: DefectRow(_F, _TWIN, certain=True),
    Defect.BAD_STATUS: DefectRow(_F, _TWIN, certain=True),
    Defect.NO_VALUE: DefectRow(_F, _TWIN, certain=True),
}
"""Category and action of each defect. A lone spike is no message: that reading is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalHealth:
    """Judgement of one signal; ``since`` [s, UTC] when the defect began."""

    category: Ne107
    defect: Defect
    action: DefectAction
    since: float
    text: str


_REASONS: tuple[tuple[str, Defect], ...] = (
    (r"refill|press stands", Defect.CONTEXT),
    (r"no new reading", Defect.NOT_NEW),
    (r"no value", Defect.NO_VALUE),
    (r"wrong type", Defect.TYPE),
    (r"bad status", Defect.BAD_STATUS),
    (r"not a number", Defect.NOT_A_NUMBER),
    (r"source clock .*corrected", Defect.CLOCK_CORRECTED),
    (r"source clock|\d+ s in the future", Defect.CLOCK),
    (r"\d+ s old", Defect.STALE),
    (r"outside ", Defect.RANGE),
    (r"frozen for", Defect.FROZEN),
    (r"spike", Defect.SPIKE),
    (r"slope above", Defect.RATE),
    (r"uncertain status", Defect.UNCERTAIN),
)
_KNOWN = re.compile("|".join(f"(?P<r{i}>{text})" for i, (text, _) in enumerate(_REASONS)))


def defect_of(reason: str) -> Defect:
    """What `controller.validation` found, by the reason that it gave; none for no reason.

    Raises ``ValueError`` for a reason that no row knows: a new check needs a row in this table.
    """
    if not reason:
        return Defect.NONE
    hit = _KNOWN.match(reason)
    if hit is None or hit.lastgroup is None:
        raise ValueError(f"validation gave a reason that is not classified: {reason!r}")
    return _REASONS[int(hit.lastgroup[1:])][1]
