"""Settings of the measurements' health (section ``supervision.measurement`` of a controller)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from plant_models.config import StrictModel

__all__ = [
    "JudgementConfig",
    "MeasurementConfig",
    "RedundancyConfig",
    "SignalCheckConfig",
    "SlowConfig",
]

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Readings = Annotated[int, Field(ge=2, le=1000)]


class SignalCheckConfig(StrictModel):
    """A signal that is watched beyond validation.

    ``scatter_percent`` is the instrument's noise (one standard deviation, percent of the reading),
    ``flat_readings`` how many equal readings in a row are a dead instrument (None: not judged, as
    for a signal of coarse resolution), ``twin`` whether the twin may overrule it.
    """

    tag: str = Field(pattern=r"^Line/[A-Za-z0-9_]+/[A-Za-z0-9_]+/(PV|FBK)$")
    scatter_percent: Positive
    flat_readings: Readings | None = None
    twin: bool = False


class RedundancyConfig(StrictModel):
    """Slow comparison with redundant information, in percent of the reading.

    From ``drift_percent`` on a signal is reported (maintenance), from ``bias_percent`` on it is out
    of specification, from ``lost_percent`` on it has no weight. References are means over
    ``learn_s`` of running, which then follow within ``follows_s`` (None: they stay); what is
    compared with them is filtered over ``filter_s``, each reading counting as at most
    ``clip_percent`` away.
    """

    drift_percent: Positive
    bias_percent: Positive
    lost_percent: Positive
    learn_s: Positive = 300.0
    filter_s: Positive = 120.0
    clip_percent: Positive = 6.0
    follows_s: Positive | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if not self.drift_percent < self.bias_percent < self.lost_percent:
            raise ValueError(
                f"drift_percent {self.drift_percent:g}, bias_percent {self.bias_percent:g} and "
                f"lost_percent {self.lost_percent:g} must grow in this order"
            )
        return self


class JudgementConfig(StrictModel):
    """When residuals name an instrument (`controller.measurement.signatures`).

    It explains at least ``least_gain`` (squared standard deviations), its error is at least
    ``least_percent``, and what is left over is at most ``most_misfit`` plus ``misfit_share`` of the
    gain. Another one within ``margin`` of its gain is named with it: they cannot be told apart.
    What has been found stays down to ``well_inside`` of the first two.
    """

    least_gain: Positive = 12.0
    least_percent: Positive = 2.0
    most_misfit: Positive = 14.0
    misfit_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.35
    margin: Positive = 6.0
    well_inside: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6


class SlowConfig(StrictModel):
    """Slow drift against redundant information, beyond what `RedundancyConfig` compares.

    References are means over ``learn_s``, begun ``settle_s`` after the line began to run; they
    stay; those of at-line samples are means over ``lab_learn_samples``. Shifts are filtered over
    ``press_filter_s`` (forces), ``lab_filter_samples`` (at-line weight), ``press_filter_samples``
    (forces of the tablets that were weighed), ``nir_filter_s``, ``feeder_filter_s``, ``balance_s``
    (mass balance). A feeder says nothing within ``refill_s`` of a refill, the NIR within
    ``resume_s`` of a stop. Steps of a weight or of the level count from ``weight_step_percent`` (of
    the reading) and ``level_step_percent`` (of the chute) on and are forgotten after
    ``step_memory_s``. A finding
    must have lasted for ``confirmed_after_s``.

    From ``bias_percent`` on what is named is out of specification. ``lost_percent`` is the error of
    the main force that quality cannot bear: named or in doubt, it is lost. So is the load cell of
    API or filler that is named with ``cell_lost_percent`` or more.
    """

    enabled: bool = True
    settle_s: Positive = 300.0
    learn_s: Positive = 900.0
    press_filter_s: Positive = 180.0
    lab_learn_samples: Annotated[float, Field(ge=1.0, le=20.0)] = 4.0
    lab_filter_samples: Annotated[float, Field(ge=1.0, le=20.0)] = 3.0
    press_filter_samples: Annotated[float, Field(ge=1.0, le=20.0)] = 2.0
    nir_filter_s: Positive = 240.0
    feeder_filter_s: Positive = 90.0
    balance_s: Positive = 400.0
    refill_s: Positive = 120.0
    resume_s: Positive = 600.0
    weight_step_percent: Positive = 0.7
    level_step_percent: Positive = 3.5
    step_memory_s: Positive = 7200.0
    confirmed_after_s: Annotated[float, Field(ge=0.0, le=600.0)] = 90.0
    bias_percent: Positive = 5.0
    lost_percent: Positive = 6.0
    cell_lost_percent: Positive = 4.0
    press: JudgementConfig = JudgementConfig(least_percent=2.5)
    press_sampled: JudgementConfig = JudgementConfig(least_percent=2.5, least_gain=14.0)
    feeding: JudgementConfig = JudgementConfig()


_CHECKS = (
    SignalCheckConfig(tag="Line/Press/MainForce/PV", scatter_percent=0.5, flat_readings=3),
    SignalCheckConfig(tag="Line/Press/PreForce/PV", scatter_percent=0.5, flat_readings=3),
    SignalCheckConfig(tag="Line/Press/EjectionForce/PV", scatter_percent=3.0, flat_readings=3),
    SignalCheckConfig(tag="Line/Chute/Level/PV", scatter_percent=2.0, flat_readings=4, twin=True),
    SignalCheckConfig(
        tag="Line/FeedFrame/Potency/PV", scatter_percent=2.0, flat_readings=4, twin=True
    ),
    SignalCheckConfig(tag="Line/Feeder1/Weight/PV", scatter_percent=0.01, flat_readings=3),
    SignalCheckConfig(tag="Line/Feeder2/Weight/PV", scatter_percent=0.01, flat_readings=3),
    SignalCheckConfig(tag="Line/Feeder3/Weight/PV", scatter_percent=0.01, flat_readings=3),
)


class MeasurementConfig(StrictModel):
    """Health of the measurements beyond validation's checks of single readings.

    Not ``enabled``, nothing of it is done, and the plant's clock is taken as it is.

    Hampel filter: a reading further than ``spike_deviations`` robust standard deviations from the
    median of the last ``spike_window`` is a spike; ``spikes_of_60`` of the last sixty readings make
    the signal unsteady, and only then are its spikes left out. Twin: mean squares over
    ``twin_window`` readings above ``twin_mean_square`` are reported; a signal that the twin may
    overrule is left out from ``twin_far`` deviations on, ``twin_readings`` in a row. A reading that
    is off by the ratio of two units, within ``unit_tolerance_percent``, has the wrong unit. What
    is not certain at once changes a signal's category when it has lasted ``confirmed_after_s``.

    Of the line: ``api_feeder`` and ``filler_feeder`` count from 1; ``powder_delay_s`` from the
    feeders to the feed frame, ``blender_lag_s`` of the total feed, ``chute_kg`` when full.
    """

    enabled: bool = True
    confirmed_after_s: Annotated[float, Field(ge=0.0, le=300.0)] = 10.0
    checks: tuple[SignalCheckConfig, ...] = _CHECKS
    spike_window: Annotated[int, Field(ge=5, le=61)] = 11
    spike_deviations: Positive = 8.0
    spikes_of_60: Annotated[int, Field(ge=2, le=60)] = 6
    twin_window: Readings = 24
    twin_mean_square: Positive = 9.0
    twin_far: Positive = 10.0
    twin_readings: Annotated[int, Field(ge=1, le=100)] = 3
    unit_tolerance_percent: Positive = 8.0
    api_feeder: Annotated[int, Field(ge=1, le=12)] = 1
    filler_feeder: Annotated[int, Field(ge=1, le=12)] = 2
    powder_delay_s: Positive = 190.0
    blender_lag_s: Positive = 70.0
    chute_kg: Positive = 0.6
    potency: RedundancyConfig = RedundancyConfig(
        drift_percent=2.0, bias_percent=4.0, lost_percent=8.0, filter_s=240.0
    )
    forces: RedundancyConfig = RedundancyConfig(
        drift_percent=4.5, bias_percent=5.0, lost_percent=5.5, filter_s=15.0, follows_s=200.0
    )
    ejection: RedundancyConfig = RedundancyConfig(
        drift_percent=50.0, bias_percent=60.0, lost_percent=70.0, filter_s=15.0, follows_s=200.0
    )
    feed_factor: RedundancyConfig = RedundancyConfig(
        drift_percent=8.0, bias_percent=12.0, lost_percent=60.0, filter_s=60.0, follows_s=900.0
    )
    balance: RedundancyConfig = RedundancyConfig(
        drift_percent=2.5,
        bias_percent=5.0,
        lost_percent=20.0,
        learn_s=900.0,
        filter_s=600.0,
        clip_percent=400.0,
    )
    slow: SlowConfig = SlowConfig()

    @model_validator(mode="after")
    def _once(self) -> Self:
        tags = [c.tag for c in self.checks]
        twice = sorted({t for t in tags if tags.count(t) > 1})
        if twice:
            raise ValueError(f"checks: {', '.join(twice)} is listed more than once; keep one entry")
        return self

    @cached_property
    def by_tag(self) -> Mapping[str, SignalCheckConfig]:
        """Checks by tag."""
        return {c.tag: c for c in self.checks}
