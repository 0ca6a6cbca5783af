"""A 60 s forecast of the main force beside its opponents, on batches that nothing was fitted to.

All constants come from the earlier batches (``fitted``); origins are those of
`tools.recordings.origins`. Every figure of a part compares the methods on the same origins: those
at which all of them, and the forecast, have a number; what the forecast leaves out is counted.

Ratio to the weighted mean: of two RMSE, with a 95 % range from resampled blocks of 10 min. If the
range holds 1, the difference is within noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording
from tools.benchmarks.control_table import Goal
from tools.recordings.all_opponents import (
    ARX,
    EWMA,
    FIRST_VALUE,
    PERSISTENCE,
    Opponents,
    build_opponents,
)
from tools.recordings.opponents import rmse
from tools.recordings.origins import SUBSETS

__all__ = [
    "FEWEST_JUDGED",
    "Part",
    "RecordingScore",
    "score_forecast",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

KN = 1e3
FEWEST_JUDGED = 30  # origins
BLOCK_S = 600.0
RESAMPLES = 1000
SEED = 20181118
WORSE = 1.01  # than the weighted mean, at most
BELOW_PERSISTENCE = 0.25
SHARE_OF_ARX = 0.80
COVERAGE = (0.92, 0.98)

FORECAST = "forecast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Figures on one set of origins: ``count``, RMSE [kN] by method, ratio to the weighted mean.

    ``missing`` origins had no forecast. Coverage is that of the 95 % interval, ``half_width`` its
    mean half-width [kN].
    """

    name: str
    text: str
    count: int
    missing: int
    rmse: Mapping[str, float]
    ratio_range: tuple[float, float]
    coverage: float
    half_width: float

    @property
    def judged(self) -> bool:
        """Whether there are enough origins to say anything."""
        return self.count >= FEWEST_JUDGED

    @property
    def ratio(self) -> float:
        """RMSE of the forecast over that of the weighted mean."""
        return self.rmse[FORECAST] / self.rmse[EWMA] if self.rmse[EWMA] > 0.0 else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingScore:
    """Everything that is said about a forecast of one recording.

    ``parts``: ``scored``, each of `SUBSETS`, ``all`` running origins and ``restart``;
    ``batches``: the scored origins of each later batch.
    """

    recording: str
    code: str
    fitted: tuple[str, ...]
    opponents: Opponents
    parts: Mapping[str, Part]
    batches: tuple[Part, ...]
    goals: tuple[Goal, ...]

    def as_json(self) -> dict[str, Any]:
        """Results under ``recording``; what could not be computed is null."""
        scored, found = self.parts["scored"], self.opponents
        result: dict[str, Any] = {
            **_keys(scored),
            "name": self.recording,
            "code": self.code,
            "fitted_batches": list(self.fitted),
            "batches": [{"batch": part.name, **_keys(part)} for part in self.batches],
            "subsets": {name: _keys(self.parts[name]) for name in SUBSETS},
            "all_running": _keys(self.parts["all"]),
            "after_restart": _keys(self.parts["restart"]),
            "ewma_alpha": found.alpha,
            "ewma_first_value_alpha": found.alpha_first,
            "arx": found.arx_text,
            "arx_cv_ratio": found.arx_error[0],
            "arx_cv_standard_error": found.arx_error[1],
            "arx_hindsight": found.arx_hindsight_text,
            "arx_hindsight_rmse_kN": found.arx_hindsight / KN,
            "arx_bound_rmse_kN": found.arx_bound / KN,
            "goals": [
                {"name": g.name, "value": g.value, "lo": g.lo, "hi": g.hi, "met": g.met}
                for g in self.goals
            ],
        }
        return {"recording": _finite(result)}


def score_forecast(
    recording: Recording,
    forecast_kN: Array,
    half_width_kN: Array,
    fitted: Sequence[str],
    opponents: Opponents | None = None,
) -> RecordingScore:
    """Score the forecasts made at every row (n,) of the force 60 s later, and their half-widths.

    NaN where no forecast was made. ``opponents`` of the same recording and ``fitted`` batches may
    be handed over; they take some seconds to build.
    """
    found = opponents or build_opponents(recording, fitted)
    origins, truth = found.origins, found.origins.truth()
    errors = {FORECAST: truth - forecast_kN * KN}
    errors |= {name: truth - ahead for name, ahead in found.forecasts.items()}
    arx = bool(found.arx_text)
    needed = [name for name in errors if name not in (FORECAST, *([] if arx else [ARX]))]
    comparable = np.logical_and.reduce([np.isfinite(errors[name]) for name in needed])
    block = _blocks(recording)
    width = half_width_kN * KN

    def part(name: str, text: str, rows: Flags) -> Part:
        used = rows & found.later & comparable & np.isfinite(errors[FORECAST])
        covered = used & np.isfinite(width)
        hit = np.abs(errors[FORECAST][covered]) <= width[covered]
        return Part(
            name=name,
            text=text,
            count=int(used.sum()),
            missing=int((rows & found.later & comparable).sum() - used.sum()),
            rmse={n: rmse(e[used]) / KN for n, e in errors.items()},
            ratio_range=_ratio_range(errors[FORECAST][used], errors[EWMA][used], block[used]),
            coverage=float(np.mean(hit)) if hit.size else float("nan"),
            half_width=float(np.mean(width[covered])) / KN if hit.size else float("nan"),
        )

    parts = {"scored": part("scored", "running for the preceding 120 s", origins.scored)}
    for name, text in SUBSETS.items():
        parts[name] = part(name, text, origins.scored & origins.subsets[name])
    parts["all"] = part("all", "all running origins", origins.all)
    parts["restart"] = part("restart", "within 5 min of a restart", origins.restart)
    names = np.asarray(recording.batch)
    later = [name for name in recording.batches() if name not in set(fitted)]
    return RecordingScore(
        recording=recording.name,
        code=recording.code,
        fitted=tuple(fitted),
        opponents=found,
        parts=parts,
        batches=tuple(part(b, f"batch {b}", origins.scored & (names == b)) for b in later),
        goals=_goals(parts, arx=arx),
    )


def _goals(parts: Mapping[str, Part], *, arx: bool) -> tuple[Goal, ...]:
    scored = parts["scored"]
    ours, last, mean, linear = (scored.rmse[n] for n in (FORECAST, PERSISTENCE, EWMA, ARX))
    lo, hi = scored.ratio_range
    goal = Goal(
        name="RMSE over the weighted mean's",
        value=scored.ratio,
        hi=WORSE,
        note=f"({lo:.3f} to {hi:.3f})",
    )
    goals = [_judged(goal, scored)]
    if not arx:
        name = "RMSE below persistence or towards the ARX"
        goals.append(Goal(name=name, value=None, note="no earlier batches to fit an ARX to"))
    elif linear <= (1.0 - BELOW_PERSISTENCE) * last:
        value = 1.0 - ours / last
        goal = Goal(name="share below persistence", value=value, lo=BELOW_PERSISTENCE)
        goals.append(_judged(goal, scored))
    elif linear < mean:
        value = (mean - ours) / (mean - linear)
        goal = Goal(name="share of the way from weighted mean to ARX", value=value, lo=SHARE_OF_ARX)
        goals.append(_judged(goal, scored))
    else:
        name = "share of the way from weighted mean to ARX"
        note = "the ARX is no better than the weighted mean, nor 25 % below persistence"
        goals.append(Goal(name=name, value=None, note=note))
    for name, text in SUBSETS.items():
        subset = parts[name]
        lo, hi = subset.ratio_range
        goal = Goal(
            name=f"the same where {text}",
            value=subset.ratio,
            hi=1.0,
            note=f"({lo:.3f} to {hi:.3f})",
        )
        goals.append(_judged(goal, subset))
    lo, hi = COVERAGE
    goal = Goal(name="coverage of the 95 % interval", value=scored.coverage, lo=lo, hi=hi)
    goals.append(_judged(goal, scored))
    share = scored.count / max(scored.count + scored.missing, 1)
    goals.append(_judged(Goal(name="scored origins with a forecast", value=share, lo=1.0), scored))
    return tuple(goals)


def _judged(goal: Goal, part: Part) -> Goal:
    """The goal, or one without a value where origins are too few or nothing was computed."""
    if part.judged and goal.value is not None and np.isfinite(goal.value):
        return goal
    note = f"{part.count} origins, too few to judge" if not part.judged else "not computed"
    return Goal(name=goal.name, value=None, lo=goal.lo, hi=goal.hi, note=note)


def _blocks(recording: Recording) -> NDArray[np.intp]:
    """Number of the block of 10 min of one batch that each row belongs to."""
    batch = np.unique(np.asarray(recording.batch), return_inverse=True)[1]
    tens = np.floor((recording.time - recording.time[:1]) / BLOCK_S).astype(np.int64)
    return np.unique(np.stack([batch, tens]), axis=1, return_inverse=True)[1].reshape(-1)


def _ratio_range(ours: Array, theirs: Array, block: NDArray[np.intp]) -> tuple[float, float]:
    """95 % range of the ratio of two RMSE under resampling of blocks."""
    kept = np.unique(block, return_inverse=True)[1]
    number = int(kept.max(initial=-1)) + 1
    if number < 2:
        return float("nan"), float("nan")
    sums = np.stack([np.bincount(kept, weights=e**2, minlength=number) for e in (ours, theirs)])
    drawn = np.random.default_rng(SEED).multinomial(
        number, np.full(number, 1.0 / number), RESAMPLES
    )
    a, b = sums @ drawn.T
    lo, hi = np.percentile(np.sqrt(a / np.maximum(b, np.finfo(float).tiny)), [2.5, 97.5])
    return float(lo), float(hi)


def _keys(part: Part) -> dict[str, Any]:
    """A part under the stable keys."""
    return {
        "rmse_kN": part.rmse[FORECAST],
        "persistence_rmse_kN": part.rmse[PERSISTENCE],
        "ewma_rmse_kN": part.rmse[EWMA],
        "ewma_first_value_rmse_kN": part.rmse[FIRST_VALUE],
        "arx_rmse_kN": part.rmse[ARX],
        "ewma_ratio": part.ratio,
        "ewma_ratio_range": list(part.ratio_range),
        "coverage_95": part.coverage,
        "half_width_kN": part.half_width,
        "origins": part.count,
        "missing": part.missing,
        "judged": part.judged,
    }


def _finite(value: Any) -> Any:
    """The same with plain types, and null for what is no number."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
