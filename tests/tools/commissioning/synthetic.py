"""A press of known gains under an integrating force loop: what it records, as a recording.

The powder's bulk volume walks at random; the loop moves the fill depth to hold the force; somebody
moves thickness and force set point now and then; before each batch fill depth and band are set by
hand in short runs with the loop off.
"""

from dataclasses import replace
from math import pi

import numpy as np

from plant_models.press_cell import Law, PressCell, main_force, tablet_weight, weight_at_force
from plant_models.recording import Recording
from tools.recordings.mapping import Tooling

PERIOD, RATE = 10.0, 120_000 / 3600.0
WALK = 8e-5  # of ln bulk volume [1/sqrt(s)]
TOOLING = Tooling(diameter=8.1e-3, weight=226e-6, thickness=4.0e-3, stations=None, known=True)
AREA = pi * TOOLING.diameter**2 / 4.0
BAND, FILL = 2.0e-3, 6.5e-3
CELL = PressCell(
    law="kawakita",
    die_area=AREA,
    cup_height=1.05e-3,
    lower_cup=0.525e-3,
    compliance=20e-9,
    true_density=1505.0,
    bulk_density=226e-6 / ((FILL + 0.525e-3) * AREA),
    a=0.66,
    scale=14e6,
    critical_density=0.36,
    heckel_slope=1.0 / 90e6,
    heckel_intercept=0.65,
    speed_sensitivity=0.09,
    rate_ref=RATE,
)
CELLS: dict[Law, PressCell] = {"kawakita": CELL, "heckel": replace(CELL, law="heckel")}


def gains(cell: PressCell, fill: float, band: float, force: float) -> tuple[float, float]:
    """True force per fill depth and per band [N/m] where such settings take ``force``."""
    d = 1e-6
    volume = float(np.log(tablet_weight(cell, fill) / weight_at_force(cell, force, band)))

    def at(more_fill: float, more_band: float) -> float:
        return float(main_force(cell, fill + more_fill, band + more_band, volume))

    return (at(d, 0.0) - at(-d, 0.0)) / (2.0 * d), (at(0.0, d) - at(0.0, -d)) / (2.0 * d)


class Press:
    """Rows of one batch after the other; ``play`` [m] is the fill cam's lost motion either way."""

    def __init__(self, cell: PressCell, seed: int, *, play: float = 0.0, wait: int = 0) -> None:
        self.cell, self.play, self.wait = cell, play, wait
        self.rng = np.random.default_rng(seed)
        self.rows: list[tuple[str, float, float, float, float]] = []
        self.volume, self.fill, self.cam, self.band = 0.0, FILL, FILL, BAND

    def force(self, seconds: float) -> float:
        """Force while the powder's volume walks [8e-5 / sqrt(s)], with the scatter of a mean."""
        self.volume += WALK * np.sqrt(seconds) * self.rng.standard_normal()
        self.cam = min(max(self.cam, self.fill - self.play), self.fill + self.play)
        force = float(main_force(self.cell, self.cam, self.band, self.volume))
        return force + 60.0 * np.sqrt(PERIOD / seconds) * self.rng.standard_normal()

    def put(self, batch: str, force: float, rate: float = RATE) -> None:
        """A row as recorded: 0.01 mm, 0.1 kN."""
        force = round(force / 100.0) * 100.0
        self.rows.append((batch, round(self.fill, 5), round(self.band, 5), force, rate))

    def stand(self, batch: str, rows: int) -> None:
        """Rows at which the press stands and the force holds its last value."""
        for _ in range(rows):
            self.put(batch, self.rows[-1][3] if self.rows else 0.0, 0.0)

    def set_up(self, batch: str, settings: int) -> None:
        """Short runs with fill depth and band set by hand; the powder is not settled yet."""
        for i in range(settings):
            towards = 0.35 * (1.0 - i / settings)
            self.fill = self.cam = FILL + (towards * self.rng.uniform(-4.0, 1.0)) * 1e-3
            self.band = BAND + (towards * self.rng.uniform(-1.5, 0.3)) * 1e-3
            self.volume = 0.008 * self.rng.standard_normal()
            self.stand(batch, 6)
            for _ in range(5):
                self.put(batch, self.force(PERIOD))

    def produce(self, batch: str, moves: int, rows: int = 90) -> None:
        """On the loop, five corrections a row: ``rows`` between moves of thickness and set point.

        After a move the loop waits for ``wait`` rows and then holds the force that it finds.
        """
        aim = float(main_force(self.cell, FILL, BAND)) * self.rng.uniform(0.95, 1.05)
        weight = float(weight_at_force(self.cell, aim, self.band))
        self.fill = self.cam = weight / self.cell.bulk_density / AREA - self.cell.lower_cup
        gain = gains(self.cell, FILL, BAND, aim)[0]
        self.stand(batch, 6)
        for move in range(moves + 1):
            if move:
                self.band += self.rng.choice([-3, -2, -1, 1, 2, 3]) * 1e-5
                aim += 100.0 * self.rng.choice([-3, -1, 0, 0, 1, 3])
            seen = []
            for row in range(rows):
                waits = move > 0 and row < self.wait
                parts = []
                for _ in range(5):
                    parts.append(self.force(PERIOD / 5.0))
                    if not waits:
                        self.fill += 0.15 * (aim - parts[-1]) / gain
                self.put(batch, float(np.mean(parts)))
                seen.append(float(np.mean(parts)))
                if waits and row == self.wait - 1:
                    aim = float(np.mean(seen[1:]))

    def recording(self) -> Recording:
        """All rows."""
        names, *columns = zip(*self.rows, strict=True)
        fill, band, force, rate = (np.array(column) for column in columns)
        return Recording(
            name="synthetic",
            code="3",
            period_s=PERIOD,
            time=1.6e9 + PERIOD * np.arange(len(names)),
            batch=tuple(names),
            channels={
                "tablet_rate": rate,
                "main_force": force,
                "fill_depth": fill,
                "thickness": band,
            },
        )


def recorded(
    cell: PressCell,
    seed: int,
    *,
    batches: int = 4,
    settings: int = 5,
    moves: int = 8,
    play: float = 0.0,
    wait: int = 0,
) -> Recording:
    """Recording of some batches of a press."""
    press = Press(cell, seed, play=play, wait=wait)
    for number in range(batches):
        press.set_up(f"b{number}", settings)
        press.produce(f"b{number}", moves)
    return press.recording()
