"""Which instrument explains a pattern of residuals: structured residuals and their signatures.

(S1)  s = f a + G q + e,  cov e = diag(sigma^2),  q ~ N(0, diag(sd^2))   shifts since the reference
(S2)  C = diag(sigma^2) + G diag(sd^2) G'
(S3)  a_j = f_j' C^-1 s / f_j' C^-1 f_j,   gain_j = (f_j' C^-1 s)^2 / f_j' C^-1 f_j
(S4)  misfit_j = s' C^-1 s - gain_j

``f_j`` says what an error of instrument j does to every residual, ``G`` what the process itself may
do (another lot, lubrication, powder filled by hand). An instrument is named when its gain is large,
nothing is left over, and no other explains nearly as much; two that do are named together.

References
----------
Gertler 1998, Fault Detection and Diagnosis in Engineering Systems; Willsky & Jones 1976, IEEE Trans
Autom Control 21:108-112 (generalised likelihood ratio; both from memory, textbook form).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from controller.measurement_config import JudgementConfig

__all__ = ["NOTHING", "Judgement", "Process", "Signatures", "judge"]


class Process(NamedTuple):
    """What the process may do: standard deviation [-] and effect on each residual.

    ``open``: it may do more than that one day, so that what it explains as well blames nobody.
    """

    sd: float
    effects: Mapping[str, float]
    open: bool = False


class Signatures(NamedTuple):
    """A group of residuals that share instruments.

    ``noise`` standard deviation [-] of each filtered residual of a healthy plant, ``process`` its
    own doings, ``instruments`` the effect on each residual of reading high by one, by tag.
    """

    noise: Mapping[str, float]
    process: tuple[Process, ...]
    instruments: Mapping[str, Mapping[str, float]]


class Judgement(NamedTuple):
    """Who is to blame: estimated error [-] by tag, largest gain first.

    One tag is a name, two or more cannot be told apart. ``misfit`` is what they leave over.
    """

    sizes: tuple[tuple[str, float], ...] = ()
    gain: float = 0.0
    misfit: float = 0.0

    @property
    def tags(self) -> tuple[str, ...]:
        """Instruments that may be wrong."""
        return tuple(tag for tag, _ in self.sizes)


NOTHING = Judgement()


def judge(
    shifts: Mapping[str, float],
    table: Signatures,
    config: JudgementConfig,
    before: tuple[str, ...] = (),
) -> Judgement:
    """Judge shifts [-] of residuals, of which some may be missing.

    What was found ``before`` stays until it is well inside its limits. Nobody is blamed for what
    the process can do as well.
    """
    names = [n for n in table.noise if n in shifts]
    if not names:
        return NOTHING
    cov = np.diag([table.noise[n] ** 2 for n in names])
    for doing in table.process:
        g = _row(doing.effects, names)
        cov += doing.sd**2 * np.outer(g, g)  # (S2)
    s = np.array([shifts[n] for n in names])
    rows = [_row(effects, names) for effects in table.instruments.values()]
    rows += [_row(doing.effects, names) for doing in table.process if doing.open]
    effects = np.array(rows)
    solved = np.linalg.solve(cov, np.column_stack((s, effects.T)))
    total, cross = float(s @ solved[:, 0]), effects @ solved[:, 0]
    information = np.einsum("ij,ji->i", effects, solved[:, 1:])
    tags = (*table.instruments, *("" for doing in table.process if doing.open))
    found = sorted(
        (
            (float(c * c / info), tag, float(c / info))  # (S3)
            for tag, c, info in zip(tags, cross, information, strict=True)
            if info > 0.0
        ),
        reverse=True,
    )
    blamed = [item for item in found if item[1]]
    if not blamed:
        return NOTHING
    best, tag, size = blamed[0]
    again = tag in before
    eased = config.well_inside if again else 1.0
    margin = config.margin * (config.well_inside if before == (tag,) else 1.0)
    misfit = max(total - best, 0.0)  # (S4)
    if (
        best < config.least_gain * eased
        or abs(size) < config.least_percent / 100.0 * eased
        or misfit > (config.most_misfit + config.misfit_share * best) / eased
        or any(not other and gain > best - margin for gain, other, _ in found)
    ):
        return NOTHING
    sizes = tuple((t, a) for gain, t, a in blamed if gain > best - margin)
    return Judgement(sizes=sizes, gain=best, misfit=misfit)


def _row(effects: Mapping[str, float], names: list[str]) -> NDArray[np.float64]:
    return np.array([effects.get(n, 0.0) for n in names])
