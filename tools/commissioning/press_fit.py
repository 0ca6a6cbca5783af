"""Fits a press cell to a recording's early batches, and says what the recording can tell.

A parameter whose interval is not clearly narrower than before the data is not identified. The worst
first, these are held at what the literature and the recording's level of force suggest, as long as
that does not cost the fit; what cannot be held carries the gains. The gains at the recording's
usual running, which are what the data speak of, are reported with intervals beside it, and so is
the regression of force on fill depth that the loop biases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from plant_models.press_cell import Law, PressCell, tablet_weight, weight_at_force
from plant_models.recording import Recording
from tools.commissioning.press_estimates import CLEARLY, gains_by_kind, intervals
from tools.commissioning.press_events import Kind, Steps, Track, find_steps, tracks
from tools.commissioning.press_likelihood import Posterior, posterior_of
from tools.commissioning.press_priors import Reference, prior_of
from tools.commissioning.press_result import (
    BatchUse,
    Estimate,
    FitError,
    PlainRegression,
    PressFit,
    note,
)
from tools.recordings.findings import Finding
from tools.recordings.mapping import Tooling

__all__ = ["fit_press", "fitted_cell"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Progress = Callable[[str, float], None]


_COSTS = 1.0  # rise of the misfit by what is held; 3.84 is the end of a 95 % interval
_CALIBRATED_S = 600.0  # of running that gives the level where no batch may be fitted on


def fitted_cell(recording: Recording, tooling: Tooling, law: Law = "kawakita") -> PressFit:
    """The fit on the first half of the batches; its cell is usable whatever the recording tells.

    Of a single batch only the level is taken, from its first ten minutes of running.
    """
    return fit_press(recording, recording.split()[0], tooling, law)


def fit_press(
    recording: Recording,
    batches: Sequence[str],
    tooling: Tooling,
    law: Law = "kawakita",
    progress: Progress | None = None,
) -> PressFit:
    """Fit a press cell.

    Parameters
    ----------
    recording
        One product on one press.
    batches
        Those to fit on; without any, the gains are the literature's.
    tooling
        Die and tablet: absolute weight rests on them.
    law
        Of compaction.
    progress
        Called with what is being done and the share done.

    Returns
    -------
    The fit. Raises `FitError` where the press never runs.
    """
    say = progress or (lambda text, share: None)
    say("looking for moves", 0.0)
    steps, quiet = find_steps(recording, batches)
    runs = list(tracks(recording, batches))
    reference = _reference(recording, runs)
    prior = prior_of(law, tooling, reference)
    say("fitting", 0.1)
    none = posterior_of(prior, steps.only(steps.kind < 0), quiet, np.zeros(len(prior.names)))
    nominal, _ = none.solve(none.nominal)
    posterior, u = posterior_of(prior, steps, quiet, nominal).settle(nominal)
    posterior = _calibrated(posterior, u)
    u, _ = posterior.solve(u)
    none = replace(none, nominal=nominal)
    held, used = _hold_unidentified(posterior, none, u)
    cell = prior.cell(used)
    estimates, gains = intervals(
        posterior, none, u, used, held, lambda text, done: say(text, 0.2 + 0.75 * done)
    )
    say("comparing", 0.95)
    data, _ = posterior.information(u)
    uses = _uses(recording, cell, batches, runs, steps)
    spread = np.log([use.bulk_density for use in uses if np.isfinite(use.bulk_density)])
    return PressFit(
        recording=recording.name,
        code=recording.code,
        law=law,
        batches=tuple(batches),
        tooling=tooling,
        reference=reference,
        cell=cell,
        play=max(prior.play(used), 0.0),
        walk=quiet.walk_of("") / np.sqrt(quiet.span) if quiet.pairs else np.nan,
        batch_spread=float(np.std(spread, ddof=1)) if spread.size > 1 else np.nan,
        estimates=estimates,
        gains=gains,
        correlation=_correlation(posterior.covariance(u)),
        information=np.sort(np.linalg.eigvalsh(data))[::-1],
        misfit=posterior.unlikelihood(u),
        disagree=posterior.disagree,
        spread=posterior.spread,
        steps=steps,
        quiet=quiet,
        scaled=posterior.scaled(used),
        by_kind=gains_by_kind(posterior, u),
        uses=uses,
        plain=_plain(runs),
        findings=_findings(tooling, batches, steps, estimates, gains),
    )


def _reference(recording: Recording, runs: Sequence[Track]) -> Reference:
    """Medians over the runs; without any, over the recording's first minutes of running."""
    count = np.inf
    if not runs:
        runs = list(tracks(recording, recording.batches()))
        count = _CALIBRATED_S / recording.period_s
    rows = np.concatenate(
        [np.array([r.fill, r.band, r.force, r.rate]) for r in runs] or [_EMPTY], 1
    )
    rows = rows[:, : int(min(count, rows.shape[1]))]
    if not rows.size:
        raise FitError(
            f"recording {recording.name}: no row with the press running has fill depth, thickness, "
            "main force and tablet rate; nothing can be fitted. Check the mapping of these columns."
        )
    fill, band, force, rate = np.median(rows, axis=1)
    return Reference(fill=float(fill), band=float(band), force=float(force), rate=float(rate))


_EMPTY = np.zeros((4, 0))


def _calibrated(posterior: Posterior, u: Array) -> Posterior:
    """With the batches' disagreement, and intervals as wide as few moves need (Student's t)."""
    free = posterior.steps.size - 3
    wide = float(t.ppf(0.975, free) ** 2) / 3.84 if free > 2 else 4.0
    return replace(posterior, disagree=posterior.batches_disagree(u) * max(wide, 1.0))


def _hold_unidentified(posterior: Posterior, none: Posterior, u: Array) -> tuple[BoolArray, Array]:
    """Which parameters are held, and the coordinates of the cell."""
    before = np.sqrt(np.diag(none.covariance(none.nominal)))
    narrower = np.sqrt(np.diag(posterior.covariance(u))) / np.maximum(before, 1e-12)
    least = posterior.misfit(u)
    for i in np.argsort(-narrower):
        if narrower[i] <= CLEARLY:
            break
        free = posterior.free & (np.arange(u.size) != i)
        fewer = replace(posterior, free=free)
        at, misfit = fewer.solve(np.where(free, u, posterior.nominal))
        if misfit - least < _COSTS:
            posterior, u = fewer, at
    return ~posterior.free, u


def _correlation(covariance: Array) -> Array:
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sd, sd))


# Beside the fit ---------------------------------------------------------------------------------


def _uses(
    recording: Recording,
    cell: PressCell,
    batches: Sequence[str],
    runs: Sequence[Track],
    steps: Steps,
) -> tuple[BatchUse, ...]:
    running = recording.running()
    found = []
    for batch in batches:
        own = [r for r in runs if r.batch == batch and not r.by_hand]
        volumes = [
            np.log(tablet_weight(cell, r.fill) / weight_at_force(cell, r.force, r.band, r.rate))
            for r in own
        ]
        middle = float(np.median(np.concatenate(volumes))) if volumes else np.nan
        of = np.array([name == batch for name in steps.batch], dtype=bool)
        found.append(
            BatchUse(
                batch=batch,
                running=int(running[recording.rows_of(batch)].sum()),
                moves={kind: int(np.sum(steps.kind[of] == kind)) for kind in Kind},
                bulk_density=cell.bulk_density * float(np.exp(-middle)),
            )
        )
    return tuple(found)


def _plain(runs: Sequence[Track]) -> PlainRegression:
    """Force on fill depth between moves, means taken off: as if nothing were fed back."""
    fill, force = [np.zeros(0)], [np.zeros(0)]
    for run in runs:
        if not run.by_hand:
            moves = np.flatnonzero(run.moved())
            fill += [part - part.mean() for part in np.split(run.fill, moves) if part.size]
            force += [part - part.mean() for part in np.split(run.force, moves) if part.size]
    x, y = np.concatenate(fill), np.concatenate(force)
    square = float(x @ x)
    if x.size < 3 or square == 0.0:
        return PlainRegression(slope=np.nan, lo=np.nan, hi=np.nan, rows=x.size)
    slope = float(x @ y) / square
    sd = float(np.sqrt(np.sum((y - slope * x) ** 2) / (x.size - 2) / square))
    return PlainRegression(slope=slope, lo=slope - 1.96 * sd, hi=slope + 1.96 * sd, rows=x.size)


def _findings(
    tooling: Tooling,
    batches: Sequence[str],
    steps: Steps,
    estimates: Sequence[Estimate],
    gains: Sequence[Estimate],
) -> tuple[Finding, ...]:
    found = []
    if not tooling.known:
        found.append(
            note(
                "assumed",
                "",
                "the product's die and tablet are not known; another's are assumed",
                "weights and cup height rest on them; add the product to the mapping",
                "warning",
            )
        )
    if not batches:
        text = "a single batch: its first ten minutes of running give the level, nothing is fitted"
        found.append(note("not fitted", "", text, "gains are the literature's", "warning"))
    elif not steps.size:
        text = "nobody moved band, speed or force level: the loop hides the gains"
        found.append(note("not fitted", "", text, "gains are the literature's", "warning"))
    for gain in gains:
        if not gain.identified and steps.size:
            text = f"{gain.text}: moves tell hardly more than the literature"
            found.append(
                note("not identified", gain.name, text, "mostly the literature's", "warning")
            )
        elif not gain.lo <= gain.used <= gain.hi:
            text = f"{gain.text}: with unidentified parameters held it leaves its interval"
            found.append(note("strained", gain.name, text, "kept", "warning"))
    for e in estimates:
        if not e.identified:
            text = f"{e.text}: interval {min(e.narrower, 9.99):.0%} of that before the data"
            value = f"{e.used * e.shown:.3g} {e.unit.removeprefix('1')}".rstrip()
            action = f"held at {value}" if e.held else f"{value} in the cell, to carry the gains"
            found.append(note("not identified", e.name, text, action))
    return tuple(found)
