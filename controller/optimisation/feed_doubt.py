"""What the feeders may do that no forecast knows: noise of their flow, surplus of their refills.

(D1)  d_ij = n_i e_ij + r_ij e_i + c_ij e'_i

Relative deviation of the flow of feeder ``i`` in stage ``j``, all ``e`` independent with variance
1. ``n`` is noise without memory; ``r`` what is not known of a refill that goes on: its flow stays
off while the rate is frozen and comes back as the gravimetric loop takes over; ``c`` the surplus of
the next refill, at the time at which the hopper will have fallen to it. Forecasts leave that one
out, so that it counts with its full expected size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

import numpy as np

from controller.data import Array
from controller.estimation.feeders import FeederEstimate
from plant_models.config import FeederConfig

__all__ = ["FeedDoubt"]

# What the gravimetric loop adds to the noise of a screw, as a factor: of shifts of the stand-in.
_LOOP = 1.2
_CORRELATED_S = 3.0  # noise of a screw: the mean of a cycle keeps most of it
_WINDOWS = 1.5  # of the flow signal, in which the gravimetric loop takes a deviation away
_PORTION_SHARE = 0.8  # of the nominal surplus that a refill brings, as a rule
_UNSURE = 0.4  # of the surplus, when a refill goes on


class FeedDoubt:
    """(D1) of some feeders, by their data sheets.

    Attributes
    ----------
    noise
        ``(feeders,)`` standard deviations of the relative flow of one stage, ``n`` of (D1).
    """

    def __init__(self, feeders: Sequence[FeederConfig], period: float) -> None:
        def column(values: Iterable[float]) -> Array:
            return np.array(list(values))[:, None]

        kept = _LOOP / 100.0 * sqrt(_CORRELATED_S / period)
        self.noise: Array = np.array([kept * f.flow_noise_percent for f in feeders])
        self._surplus = column(f.overfeed_percent / 100.0 for f in feeders)
        self._low = np.array([f.refill_from_percent / 100.0 * f.hopper_kg for f in feeders])
        self._fill_s = column(f.refill_time_s for f in feeders)
        self._settle_s = column(f.settling_time_s for f in feeders)
        self._decay_s = column(f.overfeed_decay_s for f in feeders)
        self._back_s = column(_WINDOWS * f.flow_window_s for f in feeders)

    def refills(
        self, estimates: Sequence[FeederEstimate], rates: Array, frozen_s: Array, times: Array
    ) -> Array:
        """``(2, feeders, N)`` standard deviations ``r`` and ``c`` of (D1) at ``times`` [s ahead].

        Parameters
        ----------
        estimates
            What the feeders' filters say now.
        rates
            ``(feeders,)`` flows [kg/s], above 0.
        frozen_s
            ``(feeders,)`` how long their rates stay frozen [s]; 0 where they are not.
        """
        known = np.array([max(e.p_ss, 0.0) for e in estimates])[:, None]
        above = np.array([e.content for e in estimates]) - self._low
        held, frozen = frozen_s[:, None], frozen_s[:, None] > 0.0
        size = np.sqrt(known + (_UNSURE * self._surplus) ** 2)
        going_on = size * np.exp(-np.maximum(times - held, 0.0) / self._back_s)
        since = times - (np.maximum(above, 0.0) / rates)[:, None]
        valve = np.minimum(np.maximum(since, 0.0), self._fill_s) / self._fill_s
        closed_for = np.maximum(since - self._fill_s, 0.0)
        settling = np.minimum(closed_for, self._settle_s)
        fading = settling / self._decay_s + (closed_for - settling) / self._back_s
        coming = _PORTION_SHARE * self._surplus * valve * np.exp(-fading)
        return np.stack((np.where(frozen, going_on, 0.0), np.where(frozen, 0.0, coming)))
