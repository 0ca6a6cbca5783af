"""Signatures of the slow faults: what an instrument that reads high by one does to each residual.

(D1)  r_pre   = ln F_pre - ln F_pre(F_main, T)   pre-compression against main force
(D2)  r_eject = ln F_ej - ln F_ej(F_main, flow)   ejection against main force
(D3)  r_lab   = ln w_lab - ln w(F_main, T)   at-line weight against main force
(D4)  r_nir   = ln y_NIR - ln x_API   NIR against the feeders' delayed ratio
(D5)  r_ff,i  = ln F_i - ln n_i   flow by weight over screw speed
(D6)  r_step,i  sum of the steps of W_i that r_ff,i made too, per weight
(D7)  r_bal   = share of the feed that neither leaves as tablets nor stays in the chute

The main force is held by its loop: if it reads high by b, its true value falls by b and with it all
that the tablet shows (at constant thickness F_pre ~ F^0.76, F_ej ~ F^0.8, F ~ w^6.6). Likewise a
load cell: its loop feeds less. At another pressure scale of the powder, the same force makes a
lighter tablet that meets the pre-compression harder; a wrong transducer leaves the weight alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from controller.measurement.signatures import Process, Signatures

__all__ = [
    "BALANCE",
    "EJECTION",
    "MAIN",
    "NIR",
    "NIR_TAG",
    "PRE",
    "PRESS",
    "PRE_TAG",
    "WEIGHT",
    "cell_tag",
    "factor",
    "feeding",
    "step",
]

PRE, EJECTION, WEIGHT = "pre", "ejection", "lab weight"
NIR, BALANCE = "nir", "balance"
MAIN = "Line/Press/MainForce/PV"
PRE_TAG = "Line/Press/PreForce/PV"
NIR_TAG = "Line/FeedFrame/Potency/PV"

PRESS = Signatures(
    noise={PRE: 0.0035, EJECTION: 0.005, WEIGHT: 0.005},
    process=(
        Process(0.15, {PRE: 0.24, WEIGHT: -0.15}, open=True),  # pressure scale of another lot
        Process(0.008, {EJECTION: 1.0}),  # lubrication
    ),
    instruments=MappingProxyType(
        {
            MAIN: {PRE: -0.76, EJECTION: -0.8, WEIGHT: -0.15},
            PRE_TAG: {PRE: 1.0},
        }
    ),
)
"""Main and pre-compression force."""

_NOISE = {NIR: 0.006, BALANCE: 0.006}
_FACTOR_NOISE, _STEP_NOISE = 0.006, 0.004
_FACTOR_SD = 0.015


def factor(number: int) -> str:
    """Name of the residual (D5) of a feeder."""
    return f"feed factor {number}"


def step(number: int) -> str:
    """Name of the residual (D6) of a feeder."""
    return f"weight step {number}"


def cell_tag(number: int) -> str:
    """Tag of the load cell of a feeder."""
    return f"Line/Feeder{number}/Weight/PV"


def feeding(shares: Sequence[float], api: int) -> Signatures:
    """Load cells and NIR, for the ``shares`` of the feeders' flows; ``api`` counts from 1."""
    noise = dict(_NOISE)
    process: list[Process] = []
    instruments: dict[str, Mapping[str, float]] = {NIR_TAG: {NIR: 1.0}}
    for i, share in enumerate(shares, start=1):
        noise |= {factor(i): _FACTOR_NOISE, step(i): _STEP_NOISE}
        process.append(Process(_FACTOR_SD, {factor(i): 1.0}, open=True))  # lot, wear, head
        richer = share - (1.0 if i == api else 0.0)
        effects = {factor(i): 1.0, step(i): 1.0, NIR: richer, BALANCE: share}
        instruments[cell_tag(i)] = effects
    return Signatures(noise=noise, process=tuple(process), instruments=instruments)
