"""Rows of a delimited text file as arrays, one pass, in bounded memory.

Nothing is judged here but the form: what cannot be read as a row, a time or a number is counted
with its place, and the reader decides. Compressed files are told by their content.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tools.recordings.findings import RecordingError
from tools.recordings.mapping import REQUIRED, RecordingMapping, TimeColumn

__all__ = ["Refused", "Table", "read_table"]

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 20_000
_MARKS = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@dataclass(slots=True)
class Refused:
    """What could not be read: how often, in which lines, an example."""

    count: int = 0
    first: int = 0
    last: int = 0
    example: str = ""

    def add(self, line: int, text: str) -> None:
        """One more."""
        if not self.count:
            self.first, self.example = line, text[:40]
        self.count, self.last = self.count + 1, line


@dataclass(slots=True)
class Table:
    """Columns of a file as read: times [s, UTC], names, numbers in the units of the file.

    ``names`` are batch and code per row, ``numbers`` the columns asked for that exist; a cell that
    is no number is NaN, in ``refused`` by column unless it stands for a missing one. ``malformed``
    are rows that were left out because of their form, ``untimed`` because of their time.
    """

    header: tuple[str, ...]
    lines: NDArray[np.int_]
    time: NDArray[np.float64]
    names: dict[str, list[str]]
    numbers: dict[str, NDArray[np.float64]]
    rows: int = 0
    unended: int = 0
    malformed: Refused = field(default_factory=Refused)
    untimed: Refused = field(default_factory=Refused)
    refused: dict[str, Refused] = field(default_factory=dict)


def read_table(file: Path, mapping: RecordingMapping) -> Table:
    """Read ``file``; raises `RecordingError` where it is not a table with the columns needed."""
    with _opened(file, mapping) as stream:
        lines = _Lines(file, stream)
        rows = csv.reader(lines, delimiter=mapping.separator)
        try:
            header = _header(file, next(rows, None), mapping)
            return _body(file, header, rows, lines, mapping)
        except csv.Error as error:
            raise RecordingError(
                file,
                f"this is not a table of text: {error}",
                "one row per line, cells without line ends",
                f"line {lines.number}",
            ) from error


class _Lines(Iterator[str]):
    """Lines of a file, with their number; refuses endless ones."""

    def __init__(self, file: Path, stream: TextIO) -> None:
        self._file, self._stream = file, stream
        self.number = 0
        self.ended = True

    def __next__(self) -> str:
        line = self._stream.readline(_LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > _LONGEST_LINE:
            raise RecordingError(
                self._file,
                f"a line of more than {_LONGEST_LINE} characters",
                "a text file with one row per line",
                f"line {self.number}",
            )
        self.ended = line.endswith(("\n", "\r"))
        return line


@contextmanager
def _opened(file: Path, mapping: RecordingMapping) -> Iterator[TextIO]:
    """Open plain or compressed text; whatever reading it raises becomes a `RecordingError`."""
    encoding = mapping.encoding
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            start = stream.read(4)
            stream.seek(0)
            if not start:
                raise RecordingError(file, "the file is empty", "a table with a header line")
            _check_mark(file, start, encoding)
            if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
                encoding = "utf-8-sig"
            with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
                yield text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(
            file,
            f"the compressed file is cut off or damaged: {error}",
            "a whole copy; `gzip -t` tells",
        ) from error
    except UnicodeError as error:
        raise RecordingError(
            file,
            f"the file is not text in {mapping.encoding}: {error}",
            "the encoding it has, by `encoding:` in a mapping (latin-1, cp1250, utf-16), or a "
            "copy in UTF-8",
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecordingError(
            file, f"the file cannot be read: {reason}", "a .csv or .csv.gz file that you may read"
        ) from error


def _check_mark(file: Path, start: bytes, encoding: str) -> None:
    found = _MARKS.get(start[:2], "")
    if found and not encoding.lower().startswith(("utf-16", "utf16", "utf_16")):
        raise RecordingError(
            file,
            f"the file is {found}, {encoding} was expected",
            f"`encoding: {found}` in a mapping, or a copy in UTF-8",
            "line 1",
        )


def _header(file: Path, cells: list[str] | None, mapping: RecordingMapping) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells or ())
    channels = mapping.channels
    needed = [mapping.time.column, mapping.batch]
    needed += [channels.mapped()[name].column for name in REQUIRED]
    missing = [name for name in needed if name not in header]
    if missing:
        raise RecordingError(
            file,
            f"no column {', '.join(map(repr, missing))}; found: {_shown(header)}",
            _separator_hint(header, mapping)
            or "these columns, or a mapping that says how they are called (--mapping)",
            "line 1",
        )
    wanted = {*needed, mapping.code, *(c.column for c in channels.mapped().values())}
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1 and name in wanted]
    if twice:
        raise RecordingError(
            file,
            f"the column {', '.join(map(repr, twice))} occurs more than once",
            "each column once; which of them is meant cannot be known",
            "line 1",
        )
    return header


def _shown(header: tuple[str, ...]) -> str:
    text = ", ".join(repr(h) for h in header[:20])
    return text if len(text) <= 300 else text[:297] + "..."


def _separator_hint(header: tuple[str, ...], mapping: RecordingMapping) -> str:
    text = mapping.separator.join(header)
    for other in ",;\t|":
        if other != mapping.separator and text.count(other) > len(header):
            return f"`separator: {other!r}` in a mapping: the header looks separated by it"
    return ""


def _body(
    file: Path,
    header: tuple[str, ...],
    rows: Iterator[list[str]],
    lines: _Lines,
    mapping: RecordingMapping,
) -> Table:
    names = {mapping.batch: header.index(mapping.batch)}
    if mapping.code is not None and mapping.code in header:
        names[mapping.code] = header.index(mapping.code)
    columns = [c.column for c in mapping.channels.mapped().values() if c.column in header]
    readers = {c: _Numbers(mapping) for c in columns}
    plan = [(header.index(c), readers[c]) for c in columns]
    clock, at = _Clock(mapping.time), header.index(mapping.time.column)
    texts: dict[str, list[str]] = {name: [] for name in names}
    kept: dict[str, str] = {}
    time, numbers = array("d"), array("q")
    table = Table(header, np.zeros(0, int), np.zeros(0), texts, {})
    before = lines.number
    for row in rows:
        line = lines.number
        if line != before + 1:
            raise RecordingError(
                file,
                f"a quote opens here and closes {line - before - 1} lines further on, if at all",
                "quotes in pairs, each pair within its line",
                f"line {before + 1}",
            )
        before = line
        if line > mapping.checks.rows_max + 1:
            raise RecordingError(
                file,
                f"more than {mapping.checks.rows_max} rows",
                "a shorter file, or a larger `checks: rows_max` in a mapping",
                f"line {line}",
            )
        if not row:
            continue
        table.rows += 1
        if len(row) != len(header):
            table.malformed.add(line, f"{len(row)} cells instead of {len(header)}")
            continue
        if not lines.ended:
            table.unended = line
            continue
        seconds = clock.seconds(row[at])
        if math.isnan(seconds):
            table.untimed.add(line, row[at])
            continue
        time.append(seconds)
        numbers.append(line)
        for name, i in names.items():
            text = row[i].strip()
            texts[name].append(kept.setdefault(text, text))
        for i, reader in plan:
            reader.take(row[i], line)
    table.lines = np.frombuffer(numbers, dtype=np.int64) if numbers else table.lines
    table.time = np.frombuffer(time, dtype=np.float64) if time else table.time
    table.numbers = {c: np.array(r.values, dtype=np.float64) for c, r in readers.items()}
    table.refused = {c: r.refused for c, r in readers.items() if r.refused.count}
    return table


class _Numbers:
    """Numbers of one column; each text is read once."""

    def __init__(self, mapping: RecordingMapping) -> None:
        self.values = array("d")
        self.refused = Refused()
        self._known = dict.fromkeys(mapping.missing, math.nan)
        self._comma = mapping.decimal == ","

    def take(self, text: str, line: int) -> None:
        """Append the number that ``text`` stands for."""
        value = self._known.get(text)
        if value is None:
            value = self._read(text.strip(), line)
            if value is None:
                self.refused.add(line, text)
                value = math.nan
            elif len(self._known) < 100_000:
                self._known[text] = value
        self.values.append(value)

    def _read(self, text: str, line: int) -> float | None:
        if text in self._known:
            return self._known[text]
        if self._comma:
            if "." in text:
                return None
            text = text.replace(",", ".")
        if "_" in text:
            return None
        try:
            return float(text)
        except ValueError:
            return None


class _Clock:
    """Times of one column as seconds since 1970, UTC; NaN for what is none."""

    def __init__(self, config: TimeColumn) -> None:
        self._format = config.format
        self._zone = UTC if config.zone == "UTC" else ZoneInfo(config.zone)
        self._iso = config.format == "%Y-%m-%d %H:%M:%S"
        self._before = -math.inf

    def seconds(self, text: str) -> float:
        """Seconds of a time; an hour that the clock shows twice is told by what came before."""
        text = text.strip()
        try:
            if self._format == "unix":
                seconds = float(text)
                return seconds if abs(seconds) < 1e11 else math.nan
            if self._iso:
                if len(text) != 19 or text[10] != " ":
                    return math.nan
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, self._format)
            if moment.tzinfo is not None:
                return moment.timestamp()
            moment = moment.replace(tzinfo=self._zone)
            seconds = moment.timestamp()
            if self._zone is not UTC and seconds < self._before:
                seconds = max(seconds, moment.replace(fold=1).timestamp())
        except (ValueError, OverflowError):
            return math.nan
        self._before = seconds
        return seconds
