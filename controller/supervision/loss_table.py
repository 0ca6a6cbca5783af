"""The loss ladder as one table: what the line gives up without an instrument, and how it returns.

`controller.supervision.ladder` carries it out. Times are settings (`controller.ladder_config`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.data import CV
from controller.ladder_config import LadderConfig
from controller.supervision.come_back import Kind
from plant_models.signals import LAB, MV

__all__ = ["LOSS_LADDER", "Divert", "LossRow"]


class Divert(StrEnum):
    """When the loss of an instrument diverts tablets."""

    NEVER = "never"
    AT_ONCE = "at once"
    AT_EXPIRY = "when the time is up"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """One instrument of the ladder.

    ``tags`` have no weight while it is lost; the first one is judged. ``cvs_dropped`` and
    ``mvs_frozen`` hold once its time is up, as does ``sheds``. The plant's own loop ``follows`` it:
    if it reads wrong with a good status, its time is up at once. ``come_back`` says in words what
    ``kind`` demands.
    """

    name: str
    instrument: str
    tags: tuple[str, ...]
    kind: Kind
    cvs_dropped: tuple[str, ...]
    mvs_frozen: tuple[str, ...]
    divert: Divert
    sheds: bool
    come_back: str
    follows: bool = False

    def allowed_s(self, config: LadderConfig) -> float:
        """Time for which the twin may stand in [s]."""
        a = config.allowed
        return {
            "nir": a.nir_s,
            "lab": a.lab_samples * config.lab_period_s,
            "main_force": a.main_force_s,
            "pre_force": a.pre_force_s,
            "api_load_cell": a.api_load_cell_s,
            "filler_load_cell": a.filler_load_cell_s,
            "lubricant_load_cell": a.lubricant_load_cell_s,
            "chute_level": a.chute_level_s,
        }[self.name]

    def lost_after_s(self, config: LadderConfig) -> float:
        """Time without a usable reading after which the instrument is lost [s]."""
        if self.kind is Kind.LAB:
            return config.lab_period_s + config.lab_delay_s + config.lab_slack_s
        return config.force_lost_after_s if self.name == "main_force" else config.lost_after_s


def _load_cell(number: int, name: str, role: str, row: tuple[tuple[str, ...], ...]) -> LossRow:
    unit = f"Line/Feeder{number}"
    return LossRow(
        name=name,
        instrument=f"load cell of the {role} feeder",
        tags=(f"{unit}/Weight/PV", f"{unit}/MassFlow/PV"),
        kind=Kind.LOAD_CELL,
        cvs_dropped=row[0],
        mvs_frozen=row[1],
        divert=Divert.AT_EXPIRY,
        sheds=False,
        come_back="flow by weight agrees with screw speed and the feed factor before the loss",
        follows=True,
    )


LOSS_LADDER: tuple[LossRow, ...] = (
    LossRow(
        name="nir",
        instrument="NIR",
        tags=("Line/FeedFrame/Potency/PV",),
        kind=Kind.NIR,
        cvs_dropped=(CV.POTENCY,),
        mvs_frozen=(MV.API_RATIO,),
        divert=Divert.AT_EXPIRY,
        sheds=False,
        come_back="agrees with the potency that the feeders give, as before the loss",
    ),
    LossRow(
        name="lab",
        instrument="laboratory",
        tags=(LAB.WEIGHT, LAB.THICKNESS, LAB.FORCE),
        kind=Kind.LAB,
        cvs_dropped=(CV.TENSILE_STRENGTH,),
        mvs_frozen=(MV.THICKNESS,),
        divert=Divert.AT_EXPIRY,
        sheds=False,
        come_back="a sample whose mean weight and strength agree with the estimate",
    ),
    LossRow(
        name="main_force",
        instrument="main force",
        tags=("Line/Press/MainForce/PV",),
        kind=Kind.FORCE,
        cvs_dropped=(CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH),
        mvs_frozen=(MV.MAIN_FORCE, MV.THICKNESS),
        divert=Divert.AT_ONCE,
        sheds=True,
        come_back="its ratio to the pre-compression force is the one before the loss",
        follows=True,
    ),
    LossRow(
        name="pre_force",
        instrument="pre-compression force",
        tags=("Line/Press/PreForce/PV",),
        kind=Kind.FORCE,
        cvs_dropped=(CV.TENSILE_STRENGTH,),
        mvs_frozen=(MV.THICKNESS,),
        divert=Divert.NEVER,
        sheds=False,
        come_back="its ratio to the main force is the one before the loss",
    ),
    _load_cell(1, "api_load_cell", "API", ((CV.POTENCY,), (MV.API_RATIO, MV.TOTAL_FEED))),
    _load_cell(2, "filler_load_cell", "filler", ((CV.POTENCY,), (MV.API_RATIO, MV.TOTAL_FEED))),
    _load_cell(3, "lubricant_load_cell", "lubricant", ((), (MV.LUBRICANT_RATIO, MV.TOTAL_FEED))),
    LossRow(
        name="chute_level",
        instrument="chute level",
        tags=("Line/Chute/Level/PV",),
        kind=Kind.LEVEL,
        cvs_dropped=(CV.THROUGHPUT, "chute_level"),
        mvs_frozen=(MV.TOTAL_FEED,),
        divert=Divert.NEVER,
        sheds=True,
        come_back="agrees with the level that the twin kept",
    ),
)
"""One row per instrument."""
