"""What a fit of a press cell tells: estimates with intervals, moves used, what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant_models.press_cell import Law, PressCell
from tools.commissioning.press_events import Kind, Quiet, Steps
from tools.commissioning.press_likelihood import Profile
from tools.commissioning.press_priors import Reference
from tools.recordings.findings import Finding, Severity
from tools.recordings.mapping import Tooling

__all__ = [
    "BatchUse",
    "Estimate",
    "FitError",
    "KindGains",
    "PlainRegression",
    "PressFit",
    "as_data",
    "note",
]

Array = NDArray[np.float64]


class FitError(ValueError):
    """A recording that a press cannot be fitted to: what, why, remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A parameter or gain in SI: estimate, 95 % interval, and 95 % before the data (``prior``).

    ``used`` is its value in the cell, ``held`` whether it was held there; ``narrower`` the standard
    deviation over that before the data; ``shown`` times an SI value is in ``unit``.
    """

    name: str
    text: str
    unit: str
    shown: float
    value: float
    lo: float
    hi: float
    prior: tuple[float, float]
    used: float
    identified: bool
    held: bool
    narrower: float
    log: bool
    source: str
    profile: Profile

    @property
    def verdict(self) -> str:
        """Identified, not identified, or held for that reason; and how much narrower it got."""
        word = "yes" if self.identified else "held" if self.held else "no"
        return f"{word} ({min(self.narrower, 9.99):.0%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindGains:
    """Gains by name [SI] with standard deviations that ``count`` moves of one kind alone give."""

    count: int
    gains: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUse:
    """What a batch gave: running rows, moves by kind, median bulk density [kg/m3] with the cell."""

    batch: str
    running: int
    moves: Mapping[Kind, int]
    bulk_density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRegression:
    """Force on fill depth within batches [N/m]: what the loop makes of it, not a gain."""

    slope: float
    lo: float
    hi: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PressFit:
    """A fitted press cell, SI.

    ``walk`` is the random walk of ln bulk volume [1/sqrt(s)], ``batch_spread`` its standard
    deviation between batches, ``play`` lost motion of the fill depth [m]; ``information`` holds
    the eigenvalues of the moves' Fisher information in standard deviations before the data: above
    1 they tell more than was known. ``scaled`` are the moves' residuals with the cell.
    """

    recording: str
    code: str
    law: Law
    batches: tuple[str, ...]
    tooling: Tooling
    reference: Reference
    cell: PressCell
    play: float
    walk: float
    batch_spread: float
    estimates: tuple[Estimate, ...]
    gains: tuple[Estimate, ...]
    correlation: Array
    information: Array
    misfit: float
    disagree: float
    spread: Array
    steps: Steps
    quiet: Quiet
    scaled: Array
    by_kind: Mapping[Kind, KindGains]
    uses: tuple[BatchUse, ...]
    plain: PlainRegression
    findings: tuple[Finding, ...]

    def gain(self, name: str) -> Estimate:
        """One of the gains: dF_dfill, dF_dband [N/m], dlnF_dlnW [-]."""
        return next(gain for gain in self.gains if gain.name == name)

    def estimate(self, name: str) -> Estimate:
        """One of the parameters."""
        return next(estimate for estimate in self.estimates if estimate.name == name)


def note(kind: str, channel: str, text: str, action: str, severity: Severity = "info") -> Finding:
    """A finding about the fit as a whole."""
    return Finding(
        kind=kind,
        channel=channel,
        rows=0,
        share=0.0,
        first_row=None,
        last_row=None,
        severity=severity,
        text=text,
        action=action,
    )


def as_data(fit: PressFit) -> dict[str, Any]:
    """For JSON: SI values, no series; null for what there is not."""

    def entry(e: Estimate) -> dict[str, Any]:
        return {
            "estimate": e.value,
            "lo_95": e.lo,
            "hi_95": e.hi,
            "prior_95": list(e.prior),
            "used": e.used,
            "identified": e.identified,
            "held": e.held,
            "sd_over_prior": e.narrower,
            "source": e.source,
        }

    names = [e.name for e in fit.estimates[: fit.correlation.shape[0]]]
    data: dict[str, Any] = {
        "recording": fit.recording,
        "code": fit.code,
        "law": fit.law,
        "batches": list(fit.batches),
        "cell": asdict(fit.cell),
        "fill_play": fit.play,
        "reference": asdict(fit.reference),
        "tooling": {
            "diameter": fit.tooling.diameter,
            "weight": fit.tooling.weight,
            "thickness": fit.tooling.thickness,
            "known": fit.tooling.known,
        },
        "parameters": {e.name: entry(e) for e in fit.estimates},
        "gains": {e.name: entry(e) for e in fit.gains},
        "correlation": {"names": names, "matrix": fit.correlation.tolist()},
        "information": fit.information.tolist(),
        "misfit": fit.misfit,
        "batches_disagree": fit.disagree,
        "plain_regression_biased": asdict(fit.plain),
        "walk": fit.walk,
        "batch_spread": fit.batch_spread,
        "force_noise": fit.quiet.row_force,
        "moves": {
            use.batch: {"rows": use.running, "bulk_density": use.bulk_density}
            | {kind.text: use.moves[kind] for kind in Kind}
            for use in fit.uses
        },
        "findings": [finding.as_data() for finding in fit.findings],
    }
    return {key: _finite(value) for key, value in data.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
