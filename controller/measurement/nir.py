"""The NIR: whether its window is fouled, the potency has changed, or a load cell is wrong.

The feeders' ratio tells what the potency in the feed frame must be. Where the NIR moves against it,
either its window fouls or a load cell deceives the ratio; a wrong cell gives itself away by the
feed factor of its feeder (flow by weight over screw speed), which moves with it:

(J1)  API cell reads high by e:     true API flow and NIR down by e, its feed factor up by e
(J2)  filler cell reads high by e:  NIR up by (1 - x_API) e, the filler's feed factor up by e

Where spectra exist they decide: a fouled window lowers the reference intensity and raises the
residual of the spectrum against its model; a real change of potency does neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NirJudgement", "NirVerdict", "Spectrum", "judge_nir"]

_FILLER_SHARE = 0.9
_EXPLAINED = 0.5
_LEAST_INTENSITY = 0.8
_MOST_RESIDUAL = 1.0


class NirVerdict(StrEnum):
    """What a shift of the NIR means."""

    CLEAN = "agrees with the feeders"
    POTENCY = "the potency has changed"
    FOULED = "the window is fouled"
    LOAD_CELL = "a load cell may be wrong"


@dataclass(frozen=True, slots=True)
class Spectrum:
    """What a spectrometer tells of itself.

    ``intensity`` of the reference, as a share of that of the clean window; ``residual`` of the
    spectrum against its model, as a share of its control limit.
    """

    intensity: float
    residual: float

    @property
    def clean(self) -> bool:
        """Whether neither speaks of fouling."""
        return self.intensity >= _LEAST_INTENSITY and self.residual <= _MOST_RESIDUAL


@dataclass(frozen=True, slots=True)
class NirJudgement:
    """Verdict and its reason in words."""

    verdict: NirVerdict
    text: str


def judge_nir(
    shift: float,
    limit: float,
    *,
    api_factor: float = 0.0,
    filler_factor: float = 0.0,
    feed_moved: float = 0.0,
    spectrum: Spectrum | None = None,
) -> NirJudgement:
    """Judge a shift.

    Parameters
    ----------
    shift
        Of the NIR against the delayed ratio of the feeders, since the reference [-].
    limit
        Shift from which on it means something [-].
    api_factor, filler_factor
        Shifts of the feed factors as measured [-].
    feed_moved
        Change of the feeders' ratio itself since the reference [-].
    spectrum
        Where the instrument gives one.

    Returns
    -------
    Verdict and reason.
    """
    if spectrum is not None and not spectrum.clean:
        return NirJudgement(
            NirVerdict.FOULED,
            f"reference intensity {100.0 * spectrum.intensity:.0f} % of the clean window, "
            f"spectral residual {spectrum.residual:.2g} of its limit",
        )
    if abs(shift) <= limit:
        if abs(feed_moved) > limit:
            return NirJudgement(NirVerdict.POTENCY, "feeders and NIR moved together")
        return NirJudgement(NirVerdict.CLEAN, "")
    if spectrum is not None:
        return NirJudgement(
            NirVerdict.POTENCY,
            "the spectra are sound: the potency has changed though the load cells do not show it",
        )
    by_api = -api_factor  # (J1)
    by_filler = _FILLER_SHARE * filler_factor  # (J2)
    for name, explained in (("API", by_api), ("filler", by_filler)):
        if explained * shift > 0.0 and abs(explained) >= _EXPLAINED * abs(shift):
            return NirJudgement(
                NirVerdict.LOAD_CELL, f"the feed factor of the {name} feeder moved with it"
            )
    return NirJudgement(NirVerdict.FOULED, "the feeders' ratio has not moved: fouling")
