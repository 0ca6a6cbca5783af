"""Which rows of a recording are used, and in which order: form, batches, codes, time.

Nothing is filled in. A few bad rows are left out with a finding; where they are more than the
mapping allows the file is refused, because what is left could no longer be trusted.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plant_models.signal_checks import backward, gaps, repeated_times
from tools.recordings.findings import Finding, RecordingError, duration_text
from tools.recordings.frame import Frame
from tools.recordings.mapping import RecordingMapping
from tools.recordings.text_table import Refused, Table

__all__ = ["arrange"]

_FEW = 3
_WHOLE = re.compile(r"(-?\d+)\.0+")


def arrange(file: Path, table: Table, mapping: RecordingMapping) -> tuple[Frame, list[Finding]]:
    """Rows of ``table`` that can be used, oldest first, and what was found on the way."""
    findings = _form(file, table, mapping)
    frame = Frame(
        file=file,
        mapping=mapping,
        lines=table.lines,
        time=table.time,
        batch=_names(table.names[mapping.batch]),
        numbers=table.numbers,
    )
    findings += _batches_named(frame)
    findings += _codes(frame, table)
    findings += _order(frame)
    findings += _doubled(frame)
    if frame.size < 2:
        raise RecordingError(
            file,
            f"{frame.size} usable row{'' if frame.size == 1 else 's'} of {table.rows}",
            "a series: rows one after the other at the period of the recording",
        )
    findings += _mixed_batches(frame)
    findings += _spacing(frame)
    return frame, findings


def _names(texts: list[str]) -> NDArray[np.str_]:
    """Names as text, whole numbers without a fraction (19.0 is 19)."""
    plain = {t: (m[1] if (m := _WHOLE.fullmatch(t)) else t) for t in set(texts)}
    return np.array([plain[t] for t in texts], dtype=np.str_)


def _too_many(count: int, rows: int, share: float) -> bool:
    return count > max(_FEW, share * rows)


def _form(file: Path, table: Table, mapping: RecordingMapping) -> list[Finding]:
    if not table.rows:
        raise RecordingError(file, "there is a header but no row", "rows below it", "line 2")
    limit = mapping.checks.unreadable_share
    findings = []
    column, form = mapping.time.column, mapping.time.format
    for refused, kind, where, what, right in (
        (
            table.malformed,
            "malformed",
            "",
            "rows have not one cell per column",
            f"{len(table.header)} cells in every row, separated by {mapping.separator!r}",
        ),
        (
            table.untimed,
            "unreadable",
            column,
            f"times are not of the form {form}",
            "`time: {format: ...}` in a mapping that says how they are written",
        ),
    ):
        if not refused.count:
            continue
        text = f"{what}, first {refused.example!r}"
        if _too_many(refused.count, table.rows, limit) or refused.count == table.rows:
            raise RecordingError(
                file,
                f"{refused.count} of {table.rows} {text}",
                right,
                f"line {refused.first}" + (f", column {where!r}" if where else ""),
            )
        findings.append(_refused(refused, table.rows, kind, where, text, "rows left out"))
    if table.unended:
        findings.append(
            _refused(
                Refused(1, table.unended, table.unended),
                table.rows,
                "truncated",
                "",
                "the last line does not end: the file may have been cut off in it",
                "row left out",
            )
        )
    return findings


def _refused(
    refused: Refused, rows: int, kind: str, channel: str, text: str, action: str
) -> Finding:
    return Finding(
        kind=kind,
        channel=channel,
        rows=refused.count,
        share=refused.count / rows,
        first_row=refused.first,
        last_row=refused.last,
        severity="warning",
        text=text,
        action=action,
    )


def _batches_named(frame: Frame) -> list[Finding]:
    missing = np.isin(frame.batch, frame.mapping.missing)
    count = int(missing.sum())
    if not count:
        return []
    share = frame.mapping.checks.unreadable_share
    if _too_many(count, frame.size, share) or count == frame.size:
        raise RecordingError(
            frame.file,
            f"{count} of {frame.size} rows name no batch",
            "a batch in every row: forecasts are scored on later batches than the model saw",
            f"line {frame.lines[missing][0]}, column {frame.mapping.batch!r}",
        )
    finding = frame.found(
        missing, "missing", "batch", "warning", "rows without a batch", "rows left out"
    )
    frame.keep(~missing)
    return [finding]


def _codes(frame: Frame, table: Table) -> list[Finding]:
    mapping = frame.mapping
    if mapping.code is None or mapping.code not in table.names:
        frame.code = mapping.product or ""
        return [
            frame.found(
                np.zeros(frame.size, dtype=bool),
                "missing",
                "code",
                "info" if mapping.product else "warning",
                "no column says the product code",
                f"taken as {mapping.product}" if mapping.product else "taken as unknown",
            )
        ]
    position = dict(zip(table.lines.tolist(), _names(table.names[mapping.code]), strict=True))
    codes = np.array([position[line] for line in frame.lines.tolist()], dtype=np.str_)
    blank = np.isin(codes, mapping.missing)
    counts = Counter(codes[~blank].tolist())
    wanted = mapping.product
    if wanted is None:
        wanted = counts.most_common(1)[0][0] if counts else ""
    shown = ", ".join(f"{c} in {n} rows" for c, n in counts.most_common(8))
    if mapping.product is not None and wanted not in counts:
        raise RecordingError(
            frame.file,
            f"no row of product code {wanted}; found {shown or 'none'}",
            "one of these as `product:` in the mapping",
            f"column {mapping.code!r}",
        )
    frame.code = wanted
    others = ~blank & (codes != wanted)
    findings = []
    if others.any():
        if mapping.product is None and _too_many(
            int(others.sum()), frame.size, mapping.checks.other_code_share
        ):
            raise RecordingError(
                frame.file,
                f"the codes of several products: {shown}; a model is of one product",
                "one file per code, or a mapping with `product: CODE` that says which one to read",
                f"line {frame.lines[others][0]}, column {mapping.code!r}",
            )
        findings.append(
            frame.found(
                others, "mixed codes", "code", "error", f"other products: {shown}", "rows left out"
            )
        )
    if blank.any():
        findings.append(
            frame.found(
                blank,
                "missing",
                "code",
                "warning",
                "rows without a product code",
                f"kept as {wanted}" if wanted else "kept, code unknown",
            )
        )
    frame.keep(~others)
    return findings


def _order(frame: Frame) -> list[Finding]:
    back = backward(frame.time)
    steps = int(back.sum())
    if not steps:
        return []
    if not backward(frame.time[::-1]).any():
        finding = frame.found(
            back, "out of order", "time", "info", "the newest row comes first", "turned round"
        )
        frame.keep(np.arange(frame.size)[::-1])
        return [finding]
    if _too_many(steps, frame.size, frame.mapping.checks.shuffled_share):
        raise RecordingError(
            frame.file,
            f"time goes back at {steps} of {frame.size} rows: they are shuffled",
            "rows in the order in which they were recorded; whoever shuffled rows may have torn "
            "columns apart, which sorting by time would hide",
            f"line {frame.lines[back][0]}, column {frame.mapping.time.column!r}",
        )
    finding = frame.found(
        back,
        "out of order",
        "time",
        "warning",
        f"time goes back at {steps} row{'' if steps == 1 else 's'}",
        "sorted by time",
    )
    frame.keep(np.argsort(frame.time, kind="stable"))
    return [finding]


def _doubled(frame: Frame) -> list[Finding]:
    if not repeated_times(frame.time).any():
        return []
    first_of = np.searchsorted(frame.time, frame.time)
    is_first = first_of == np.arange(frame.size)
    equal = frame.batch == frame.batch[first_of]
    for values in frame.numbers.values():
        first = values[first_of]
        equal &= (values == first) | (np.isnan(values) & np.isnan(first))
    contradicted = np.zeros(frame.size, dtype=bool)
    contradicted[first_of[~equal]] = True
    contradicted = contradicted[first_of]
    findings = []
    if contradicted.any():
        share = frame.mapping.checks.contradicted_share
        if _too_many(int(contradicted.sum()), frame.size, share) or bool(contradicted.all()):
            raise RecordingError(
                frame.file,
                f"{int(contradicted.sum())} of {frame.size} rows have the time of another row "
                "and say something else",
                "a time of its own for every row, with seconds; one press per file",
                f"line {frame.lines[contradicted][0]}, column {frame.mapping.time.column!r}",
            )
        findings.append(
            frame.found(
                contradicted,
                "duplicated",
                "time",
                "error",
                "rows of the same time that say different things",
                "all of them left out: which is right cannot be known",
            )
        )
    copies = ~is_first & ~contradicted
    if copies.any():
        findings.append(
            frame.found(
                copies, "duplicated", "", "warning", "rows that occur again", "one of each kept"
            )
        )
    frame.keep(is_first & ~contradicted)
    return findings


def _mixed_batches(frame: Frame) -> list[Finding]:
    new = np.r_[True, frame.batch[1:] != frame.batch[:-1]]
    returns = np.zeros(frame.size, dtype=bool)
    seen: set[str] = set()
    for i in np.flatnonzero(new):
        name = str(frame.batch[i])
        returns[i] = name in seen
        seen.add(name)
    count = int(returns.sum())
    if not count:
        return []
    if _too_many(count, frame.size, frame.mapping.checks.shuffled_share):
        raise RecordingError(
            frame.file,
            f"batches alternate: {count} times a batch goes on after another one began",
            "one press per file, and the batch that was running in every row",
            f"line {frame.lines[returns][0]}, column {frame.mapping.batch!r}",
        )
    return [
        frame.found(
            returns,
            "mixed batches",
            "batch",
            "warning",
            "a batch goes on after another one began",
            "kept; a forecast never crosses from one batch into another",
        )
    ]


def _spacing(frame: Frame) -> list[Finding]:
    period = frame.mapping.period_s
    same = np.r_[False, frame.batch[1:] == frame.batch[:-1]]
    step = np.r_[0.0, np.diff(frame.time)]
    usual = float(np.median(step[same])) if same.any() else period
    if abs(usual - period) > 0.1 * period:
        raise RecordingError(
            frame.file,
            f"rows are {usual:g} s apart, {period:g} s was expected",
            f"`period_s: {usual:g}` in a mapping, if that is what was recorded",
            f"column {frame.mapping.time.column!r}",
        )
    findings = []
    long = gaps(frame.time, period)
    for rows, where in ((long & same, "within a batch"), (long & ~same, "between batches")):
        if rows.any():
            findings.append(
                frame.found(
                    rows,
                    "gap",
                    "time",
                    "info",
                    f"no rows {where}, for {duration_text(float(step[rows].max()))} at most",
                    "kept as gaps; no forecast crosses one",
                )
            )
    odd = same & ~long & (np.abs(step - period) > 0.01 * period)
    if odd.any():
        findings.append(
            frame.found(
                odd,
                "irregular",
                "time",
                "warning",
                f"rows are not {period:g} s after the one before",
                "kept; forecasts start from evenly spaced rows only",
            )
        )
    return findings
