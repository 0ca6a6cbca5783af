"""Section of ``docs/supervision.md`` on slow drift: signatures and limits, from the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.measurement.signatures import Signatures
from controller.measurement.slow_tables import PRESS, feeding
from controller.measurement_config import MeasurementConfig

__all__ = ["slow_drift"]

_CONFIG = MeasurementConfig()
_SHARES = (0.10, 0.89, 0.01)

_TEXT = """\
## Slow drift against redundant information

Faults that no single reading shows. Each redundancy gives a residual, the logarithm of what is read
over what the others say it must be, compared with its own mean over the first {learn:.0f} min of
running (begun {settle:.0f} min after the start; constant errors do not matter and are not seen).
The tables say what an instrument that reads high by 1 % does to each residual, in percent: the loop
that holds its reading makes everything else move. An instrument is *named* when its column alone
explains what all residuals show. Where another one explains it nearly as well, both are reported
and it is said that they cannot be told apart; where the process itself can do it (another lot,
lubrication, a feed factor), nobody is blamed. What is named is maintenance required, from
{bias:g} % on out of specification, and goes on being used; what is in doubt is maintenance
required. What quality cannot bear is lost, as the loss ladder says: the main force named with, or
in doubt of, {lost:g} % and more (it sheds and diverts), the load cell of API or filler named with
{cell:g} % and more (it diverts: the potency is as far off). After somebody has vouched for an
instrument, all is learnt anew.

Laboratory results meet the forces of the tablets they were made of. A step of a load cell counts
when weight and feed factor made it together (powder filled in by hand moves the weight alone).
Limits, `controller/measurement_config.py`, section `slow`:

"""

_LEVEL = """\
The chute's level is compared with powder in against tablets out: a step of {level:g} % of the chute
and more is reported. Slow drift of the level is not seen: one of 6 % of the reading per hour
pretends {drift:.1f} % of the throughput, less than the balance can tell. Nor is the drift
of a load cell whose powder is too little for NIR and balance (the lubricant's): it looks like a
feed factor that changes.

Measured on drawn plants of the stand-in, seeds that nothing was tuned on, times from the fault to
the instrument being named alone (minutes; "in doubt": with another; - not within 25 min for a
step, 60 min for 6 %/h, 90 min for 2 %/h; steps up and down in turn, one or two plants each;
in doubt of a pre-compression force beyond 5.5 % the main force is taken to be wrong, and sheds). In
11.5 h of healthy running with other lots, set points and stops, nothing was named or doubted.

| instrument | 3 % | 5 % | 6 % | 10 % | 6 %/h | 2 %/h |
|---|---|---|---|---|---|---|
| main force | 22 (or in doubt) | 6-8 | 5 | 0.5 | 47 | - |
| pre-compression force | 22 or - | 19 or in doubt | 1-7 | 0.5 (or main force) | 48 | 83 |
| NIR | 14 or in doubt | 7-16 | 5-6 | 4 | 35 | in doubt, 61 |
| load cell, API | 4 | 5 | 5 | 5 | 38 | in doubt, 63 |
| load cell, filler | 6 | 6 | 6 | 7 | 31 | 68 |
| load cell, lubricant | 4 | 4 | 4 | 2 | - | - |
| chute level | - | - | 0.7 | 0.8 | - | - |

A fault that begins during a feeder's refill shows no step of its weight: the API's cell at 5 % was
named after 9 min, at 3 % it stayed in doubt (one plant).
"""


def slow_drift() -> str:
    """The section as Markdown."""
    c = _CONFIG.slow
    text = _TEXT.format(
        learn=c.learn_s / 60.0,
        settle=c.settle_s / 60.0,
        bias=c.bias_percent,
        lost=c.lost_percent,
        cell=c.cell_lost_percent,
    )
    limits = _table(
        ("group", "least error", "least gain", "another within", "most misfit"),
        (
            (
                name,
                f"{j.least_percent:g} %",
                *(f"{x:g}" for x in (j.least_gain, j.margin, j.most_misfit)),
            )
            for name, j in (
                ("forces, now", c.press),
                ("forces, with the laboratory", c.press_sampled),
                ("load cells and NIR", c.feeding),
            )
        ),
    )
    groups = _signatures(PRESS) + "\n" + _signatures(feeding(_SHARES, _CONFIG.api_feeder))
    throughput, reading = 20.0 / 3600.0, 0.5
    pretended = 0.06 / 3600.0 * reading * _CONFIG.chute_kg / throughput
    level = _LEVEL.format(level=c.level_step_percent, drift=100.0 * pretended)
    return text + limits + "\n" + groups + "\n" + level


def _signatures(table: Signatures) -> str:
    columns: list[tuple[str, Mapping[str, float]]] = [
        (f"`{tag.removesuffix('/PV').removeprefix('Line/')}`", effects)
        for tag, effects in table.instruments.items()
    ]
    rows = []
    for name, noise in table.noise.items():
        own = [p.sd * p.effects[name] for p in table.process if name in p.effects]
        process = f"{100.0 * sum(x * x for x in own) ** 0.5:.1f}" if own else ""
        rows.append(
            (
                name,
                *(f"{e[name]:+.2f}" if e.get(name) else "" for _, e in columns),
                f"{100.0 * noise:.2g}",
                process,
            )
        )
    heads = ("residual", *(head for head, _ in columns), "noise, %", "process, %")
    return _table(heads, rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
