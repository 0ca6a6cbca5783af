"""Leave to write: what supervision hands to the gate, for one cycle, and nobody else can make.

An `Authority` cannot be constructed, copied with changes or kept: only `authorise` makes one, only
`supervisor.decide` calls that, the gate demands it and the writer uses it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import NoReturn, final

from controller.data import Mode
from controller.supervision.permissives import Name, Permissive

__all__ = ["Authority", "authorise"]


class _Seal:
    """Known to this module alone."""


_SEAL = _Seal()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Leave to write in ``cycle`` at plant time ``time`` [s, UTC], with what it was given for."""

    cycle: int
    time: float
    mode: Mode
    suspended: bool
    permissives: Mapping[Name, Permissive]
    seal: InitVar[_Seal]

    def __post_init__(self, seal: _Seal) -> None:
        if seal is not _SEAL:
            raise TypeError("only supervision gives leave to write (authority.authorise)")

    def __reduce__(self) -> NoReturn:
        raise TypeError("leave to write holds for one cycle in one process: it is never kept")


def authorise(
    *,
    cycle: int,
    time: float,
    mode: Mode,
    suspended: bool,
    permissives: Mapping[Name, Permissive],
) -> Authority:
    """Leave to write in this cycle; called by `supervisor.decide` when it has decided so."""
    return Authority(
        cycle=cycle,
        time=time,
        mode=mode,
        suspended=suspended,
        permissives=permissives,
        seal=_SEAL,
    )
