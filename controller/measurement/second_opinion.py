"""What redundant information says against an instrument, and which of two is to blame."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from controller.data import Validated
from controller.measurement.ne107 import Defect
from controller.measurement.nir import NirVerdict, judge_nir
from controller.measurement.redundancy import FORCE_EXPONENT, Comparison, Residuals
from controller.measurement.signal_watch import Finding
from controller.measurement_config import MeasurementConfig, RedundancyConfig
from plant_models.signals import RefillPhase

__all__ = ["deviations", "opinions"]

_NIR, _LEVEL = "Line/FeedFrame/Potency/PV", "Line/Chute/Level/PV"
_MAIN, _PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
_FEED = "Line/Formulation/TotalFeed/FBK"
_QUIET = (RefillPhase.NONE, RefillPhase.REQUEST)
_FOLLOWED = 0.2  # of the forces' shift: in doubt it is the main force, whose loss sheds
_WELL_INSIDE = 0.7


def opinions(
    r: Residuals,
    config: MeasurementConfig,
    distrusted: frozenset[str] = frozenset(),
    found_before: frozenset[str] = frozenset(),
) -> dict[str, Finding]:
    """Findings by tag; nothing for what agrees or has not been learnt yet.

    Of two that disagree, one that is ``distrusted`` already takes the blame. What was
    ``found_before`` is good again only when it is well inside its limit.
    """
    found: dict[str, Finding] = {}
    _nir(r, config, found, _NIR in found_before)
    _forces(r, config, found, distrusted, _MAIN in found_before)
    for i, c in enumerate(r.feed_factors, start=1):
        if c.known(config.feed_factor):
            tag = f"Line/Feeder{i}/Weight/PV"
            words, again = "feed factor moved by", tag in found_before
            finding = _graded(c.shift, config.feed_factor, Defect.DRIFT, words, again)
            if finding is not None:
                found[tag] = finding
    if r.balance.known(config.balance):
        words, again = "powder in over tablets", _FEED in found_before
        finding = _graded(r.balance.shift, config.balance, Defect.BIAS, words, again)
        if finding is not None:
            found[_FEED] = finding
    return found


def _graded(
    shift: float, config: RedundancyConfig, lost: Defect, text: str, again: bool
) -> Finding | None:
    """Finding for a shift, by how far it is; ``lost`` is what it is called beyond the last limit.

    A ``lost`` that is no more than a bias keeps its weight. What was found before (``again``) stays
    until it is well inside.
    """
    percent = 100.0 * shift
    if abs(percent) <= config.drift_percent * (_WELL_INSIDE if again else 1.0):
        return None
    words = f"{text} {percent:+.1f} %"
    if abs(percent) <= config.bias_percent:
        return Finding(Defect.DRIFT, words, 1.0)
    if abs(percent) <= config.lost_percent or lost in (Defect.BIAS, Defect.DRIFT):
        return Finding(Defect.BIAS, words, 1.0)
    return Finding(lost, words, 0.0)


def _nir(r: Residuals, config: MeasurementConfig, found: dict[str, Finding], again: bool) -> None:
    if not r.nir.known(config.potency):
        return
    finding = _graded(r.nir.shift, config.potency, Defect.FOULED, "against the feeders", again)
    if finding is None:
        return
    api = config.api_feeder - 1
    factors = [c.shift if c.learnt > 0.0 else 0.0 for c in r.feed_factors]
    judged = judge_nir(
        r.nir.shift,
        config.potency.drift_percent * _WELL_INSIDE / 100.0,
        api_factor=factors[api] if api < len(factors) else 0.0,
        filler_factor=factors[config.filler_feeder - 1]
        if config.filler_feeder <= len(factors)
        else 0.0,
    )
    words = f"{finding.text}: {judged.text}"
    if judged.verdict is NirVerdict.FOULED:
        found[_NIR] = finding._replace(text=words)
    else:
        found[_NIR] = Finding(min(finding.defect, Defect.BIAS, key=_grave), words, 1.0)


def _grave(defect: Defect) -> int:
    return tuple(Defect).index(defect)


def _forces(
    r: Residuals,
    config: MeasurementConfig,
    found: dict[str, Finding],
    distrusted: frozenset[str],
    again: bool,
) -> None:
    """Both forces are doubtful alike; beyond the limit the ejection force tells which is wrong.

    The main force is held by its loop: if its transducer is wrong, the others move, if that of
    the pre-compression is wrong, it moves alone.
    """
    if not r.forces.known(config.forces):
        return
    finding = _graded(r.forces.shift, config.forces, Defect.TWIN, "their ratio moved by", again)
    if finding is None:
        return
    if finding.share > 0.0:
        found[_MAIN] = found[_PRE] = finding
        return
    if _MAIN in distrusted or _PRE in distrusted:
        found[_MAIN if _MAIN in distrusted else _PRE] = finding
        return
    ejection, shift = r.ejection.shift, r.forces.shift
    moved = r.ejection.known(config.ejection) and ejection * shift > 0.0
    main = moved and abs(ejection) >= _FOLLOWED * abs(shift)
    found[_MAIN if main else _PRE] = finding


def deviations(
    r: Residuals, seen: Validated, expected: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Relative deviations from redundant information of what could be read in this cycle.

    Where no twin expects a level, that of the mass balance stands in.
    """
    found: dict[str, float] = {}
    if _read(seen, _NIR):
        _put(found, _NIR, r.nir, 1.0)
    if _read(seen, _MAIN) and _read(seen, _PRE):
        _put(found, _MAIN, r.forces, -1.0 / FORCE_EXPONENT)
        _put(found, _PRE, r.forces, 1.0)
    for i, c in enumerate(r.feed_factors, start=1):
        unit = f"Line/Feeder{i}"
        readable = all(_read(seen, f"{unit}/{n}/PV") for n in ("Weight", "MassFlow", "ScrewSpeed"))
        if readable and seen.refills[i - 1] in _QUIET:
            _put(found, f"{unit}/Weight/PV", c, 1.0)
    level = expected[_LEVEL][0] if _LEVEL in expected else r.kept
    if level > 0.0 and _read(seen, _LEVEL):
        found[_LEVEL] = seen.measurements[_LEVEL].value / level - 1.0
    return found


def _read(seen: Validated, tag: str) -> bool:
    m = seen.measurements.get(tag)
    return m is not None and m.weight > 0.0


def _put(found: dict[str, float], tag: str, c: Comparison, factor: float) -> None:
    if c.learnt > 0.0 and isfinite(c.now):
        found[tag] = factor * c.now
