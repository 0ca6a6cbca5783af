"""Damaged recordings: each ends in a clear finding or a clear error, never in a traceback."""

import errno
import gzip
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tools.cli import app
from tools.recordings.reader import RecordingError, read_recording

COLUMNS = (
    "timestamp",
    "campaign",
    "batch",
    "code",
    "tbl_speed",
    "fom",
    "main_comp",
    "tbl_fill",
    "SREL",
    "pre_comp",
    "produced",
    "waste",
    "cyl_main",
    "cyl_pre",
    "stiffness",
    "ejection",
)


def _check(*arguments: object) -> Result:
    result = CliRunner().invoke(
        app, ["recording", "check", *map(str, arguments)], env={"COLUMNS": "200"}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def _cells(lines: list[str], column: str, change: Callable[[str], str]) -> list[str]:
    """``lines`` with every cell of a column changed."""
    at = COLUMNS.index(column)
    rows = [line.rstrip("\n").split(";") for line in lines[1:]]
    for row in rows:
        row[at] = change(row[at])
    return [lines[0], *(";".join(row) + "\n" for row in rows)]


def _some(lines: list[str], column: str, every: int, text: str) -> list[str]:
    """``lines`` with every so-many-th cell of a column replaced."""
    count = iter(range(1, len(lines)))
    return _cells(lines, column, lambda old: text if next(count) % every == 0 else old)


def _without(lines: list[str], *columns: str) -> list[str]:
    keep = [i for i, name in enumerate(COLUMNS) if name not in columns]
    rows = [line.rstrip("\n").split(";") for line in lines]
    return [";".join(row[i] for i in keep) + "\n" for row in rows]


def _text(lines: list[str]) -> bytes:
    return "".join(lines).encode()


def _shuffled(lines: list[str]) -> list[str]:
    rows = lines[1:]
    random.Random(4).shuffle(rows)
    return [lines[0], *rows]


@dataclass(frozen=True)
class Bad:
    """A file that must be refused, and what must be said about it."""

    name: str
    damage: Callable[[list[str]], bytes]
    said: tuple[str, ...]
    file: str = "press.csv"


REFUSED = [
    Bad("empty", lambda _: b"", ("the file is empty", "header line")),
    Bad("header only", lambda s: _text(s[:1]), ("header but no row", "rows below")),
    Bad("one row", lambda s: _text(s[:2]), ("1 usable row of 1", "a series")),
    Bad("blank lines", lambda _: b"\n\n\n", ("no column 'timestamp'", "mapping")),
    Bad(
        "other separator",
        lambda s: _text(s).replace(b";", b","),
        ("no column 'timestamp'", "`separator: ','` in a mapping"),
    ),
    Bad(
        "comma decimals",
        lambda s: _text(s).replace(b".", b","),
        ("cells are no numbers", "`decimal: ','` in a mapping"),
    ),
    Bad(
        "UTF-16",
        lambda s: "".join(s).encode("utf-16"),
        ("the file is utf-16, utf-8 was expected", "`encoding: utf-16` in a mapping"),
    ),
    Bad(
        "Latin-1",
        lambda s: "".join([s[0].replace("stiffness", "härte"), *s[1:]]).encode("latin-1"),
        ("not text in utf-8", "latin-1"),
    ),
    Bad("garbage", lambda _: random.Random(1).randbytes(5000), ("not text in utf-8",)),
    Bad("zeros", lambda _: bytes(5000), ("no column 'timestamp'",)),
    Bad(
        "a quote left open",
        lambda s: _text([*s[:390], '"' + s[390], *s[391:]]),
        ("a quote opens here", "line 391"),
    ),
    Bad("one endless line", lambda _: b"x" * 200_000, ("a line of more than", "one row per line")),
    Bad(
        "not compressed",
        lambda s: b"\x1f\x8b" + _text(s),
        ("cut off or damaged", "gzip -t"),
        file="press.csv.gz",
    ),
    Bad(
        "cut off while compressed",
        lambda s: gzip.compress(_text(s))[:-2000],
        ("cut off or damaged", "a whole copy"),
        file="press.csv.gz",
    ),
    Bad(
        "compressed and flipped",
        lambda s: (z := bytearray(gzip.compress(_text(s)))).__setitem__(-6, z[-6] ^ 1) or bytes(z),
        ("cut off or damaged",),
        file="press.csv.gz",
    ),
    Bad(
        "shuffled",
        lambda s: _text(_shuffled(s)),
        ("they are shuffled", "the order in which they were recorded"),
    ),
    Bad(
        "two products",
        lambda s: _text([*s[:200], *_cells(s, "code", lambda _: "5")[200:]]),
        ("codes of several products: 5 in 201 rows, 3 in 199 rows", "product: CODE"),
    ),
    Bad(
        "a column twice",
        lambda s: _text([s[0].replace("fom", "main_comp"), *s[1:]]),
        ("'main_comp' occurs more than once", "each column once"),
    ),
    Bad(
        "a needed column missing",
        lambda s: _text(_without(s, "tbl_fill")),
        ("no column 'tbl_fill'; found: 'timestamp'", "a mapping"),
    ),
    Bad(
        "text for force",
        lambda s: _text(_cells(s, "main_comp", lambda _: "high")),
        ("main_force: 400 cells are no numbers, first 'high' (line 2)", "column 'main_comp'"),
    ),
    Bad(
        "other time format",
        lambda s: _text(_cells(s, "timestamp", lambda t: t.replace("-", ".").replace(" ", "T"))),
        ("times are not of the form", "time: {format: ...}", "column 'timestamp'"),
    ),
    Bad(
        "all times equal",
        lambda s: _text(_cells(s, "timestamp", lambda _: "2019-01-01 00:00:00")),
        ("have the time of another row", "a time of its own"),
    ),
    Bad(
        "no force",
        lambda s: _text(_cells(s, "main_comp", lambda _: "")),
        ("main_force: the column holds no number",),
    ),
    Bad(
        "dead force",
        lambda s: _text(_cells(s, "main_comp", lambda _: "0.0")),
        ("main_force: every number is zero",),
    ),
    Bad(
        "tablets per hour",
        lambda s: _text(_cells(s, "tbl_speed", lambda v: str(float(v) * 1000.0))),
        ("tablet_rate: the numbers, such as 1.2e+05", "`unit: 'tablets/h'` in a mapping"),
    ),
    Bad(
        "force in newton",
        lambda s: _text(_cells(s, "main_comp", lambda v: str(float(v) * 1000.0))),
        ("main_force: the numbers", "`unit: 'N'` in a mapping"),
    ),
    Bad(
        "band in micrometres",
        lambda s: _text(_cells(s, "cyl_main", lambda v: str(float(v) * 1000.0))),
        ("thickness: the numbers", "µm"),
    ),
    Bad(
        "fill and band swapped",
        lambda s: _text(
            [
                s[0]
                .replace("tbl_fill", "x")
                .replace("cyl_main", "tbl_fill")
                .replace("x", "cyl_main"),
                *s[1:],
            ]
        ),
        ("fill_depth: the fill depth is not above the thickness",),
    ),
    Bad(
        "fill is a copy of force",
        lambda s: _text(
            [
                s[0],
                *(";".join([*(r := row.split(";"))[:7], r[6], *r[8:]]) for row in s[1:]),
            ]
        ),
        ("'tbl_fill' is a copy of 'main_comp'",),
    ),
    Bad(
        "batch empty",
        lambda s: _text(_cells(s, "batch", lambda _: "")),
        ("400 of 400 rows name no batch", "column 'batch'"),
    ),
    Bad(
        "alternating batches",
        lambda s: _text(_some(s, "batch", 2, "77")),
        ("batches alternate", "one press per file"),
    ),
    Bad(
        "never runs",
        lambda s: _text(_cells(s, "tbl_speed", lambda _: "0.0")),
        ("tablet_rate: every number is zero",),
    ),
    Bad(
        "rows of a second",
        lambda s: _text(
            [
                s[0],
                *(
                    f"2019-01-01 00:{i // 60:02d}:{i % 60:02d}" + row[19:]
                    for i, row in enumerate(s[1:])
                ),
            ]
        ),
        ("rows are 1 s apart, 10 s was expected", "period_s: 1"),
    ),
    Bad(
        "cut columns",
        lambda s: _text([s[0], *(";".join(row.split(";")[:9]) + "\n" for row in s[1:])]),
        ("400 of 400 rows have not one cell per column, first '9 cells instead of 16'",),
    ),
]


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.name)
def test_a_file_that_cannot_be_used_is_refused_in_words(
    bad: Bad, small: list[str], tmp_path: Path
) -> None:
    file = tmp_path / bad.file
    file.write_bytes(bad.damage(small))
    with pytest.raises(RecordingError) as caught:
        read_recording(file)
    text = str(caught.value)
    assert text.startswith(f"file   {file}\n")
    assert "\nwrong  " in text and "\nright  " in text
    assert [part for part in bad.said if part not in text] == [], text
    result = _check(file)
    assert result.exit_code == 2
    assert caught.value.wrong[:60] in result.output


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    missing = _check(tmp_path / "none.csv")
    assert missing.exit_code == 2
    assert "cannot be read: No such file" in missing.output
    folder = _check(tmp_path)
    assert folder.exit_code == 2
    assert "cannot be read: Is a directory" in folder.output


def test_a_file_that_may_not_be_read(
    tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the system, also where the tests run as a user who may read everything."""
    file = tmp_path / "press.csv"
    file.write_bytes(_text(small))

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    result = _check(file)
    assert result.exit_code == 2
    assert "cannot be read: Permission denied" in result.output


def test_a_mapping_that_is_broken_or_missing_is_told_apart(
    tmp_path: Path, small: list[str], root: Path
) -> None:
    file = tmp_path / "press.csv"
    file.write_bytes(_text(small))
    broken = _check(file, "--mapping", root / "tests/tools/broken/recording_zone_unknown.yaml")
    assert broken.exit_code == 2
    assert "time.zone" in broken.output
    missing = _check(file, "--mapping", tmp_path / "none.yaml")
    assert missing.exit_code == 2
    assert "none.yaml" in missing.output
    good = _check(file, "--mapping", root / "configs/recordings/tablet_press.yaml")
    assert good.exit_code == 0


def test_a_result_that_cannot_be_written_is_no_traceback(tmp_path: Path, small: list[str]) -> None:
    file = tmp_path / "press.csv"
    file.write_bytes(_text(small))
    result = _check(file, "--json", tmp_path / "nowhere" / "x.json")
    assert result.exit_code == 2
    assert "No such file" in result.output


@dataclass(frozen=True)
class Odd:
    """A file that can be used, and the finding that it must give."""

    name: str
    damage: Callable[[list[str]], bytes]
    kind: str
    channel: str
    rows: int
    action: str
    left: int = 400


FOUND = [
    Odd("byte order mark", lambda s: b"\xef\xbb\xbf" + _text(s), "standing", "", -1, "kept"),
    Odd(
        "Windows line ends", lambda s: _text(s).replace(b"\n", b"\r\n"), "standing", "", -1, "kept"
    ),
    Odd("cut off in a row", lambda s: _text(s)[:-30], "malformed", "", 1, "left out", 399),
    Odd("cut off in a cell", lambda s: _text(s)[:-2], "truncated", "", 1, "left out", 399),
    Odd(
        "negative speed",
        lambda s: _text(_some(s, "tbl_speed", 100, "-3.0")),
        "impossible",
        "tablet_rate",
        4,
        "taken as missing",
    ),
    Odd(
        "beyond tooling",
        lambda s: _text(_some(s, "main_comp", 100, "55.0")),
        "impossible",
        "main_force",
        4,
        "taken as missing",
    ),
    Odd(
        "infinite",
        lambda s: _text(_some(s, "main_comp", 100, "inf")),
        "impossible",
        "main_force",
        4,
        "taken as missing",
    ),
    Odd(
        "a few texts",
        lambda s: _text(_some(s, "main_comp", 150, "??")),
        "unreadable",
        "main_force",
        2,
        "taken as missing",
    ),
    Odd(
        "another product's row",
        lambda s: _text(_some(s, "code", 300, "7")),
        "mixed codes",
        "code",
        1,
        "left out",
        399,
    ),
    Odd(
        "rows again",
        lambda s: _text([*s, *s[100:120]]),
        "duplicated",
        "",
        20,
        "one of each kept",
    ),
    Odd(
        "contradicting rows",
        lambda s: _text([*s[:50], s[49][:19] + s[60][19:], *s[50:]]),
        "duplicated",
        "time",
        2,
        "left out",
        399,
    ),
    Odd(
        "blocks exchanged",
        lambda s: _text([s[0], *s[201:], *s[1:201]]),
        "out of order",
        "time",
        1,
        "sorted",
    ),
    Odd(
        "newest first",
        lambda s: _text([s[0], *s[:0:-1]]),
        "out of order",
        "time",
        399,
        "turned round",
    ),
    Odd(
        "a time missing",
        lambda s: _text(_some(s, "timestamp", 300, "yesterday")),
        "unreadable",
        "timestamp",
        1,
        "left out",
        399,
    ),
    Odd("ten rows missing", lambda s: _text([*s[:100], *s[110:]]), "gap", "time", 1, "", 390),
    Odd(
        "optional columns missing",
        lambda s: _text(_without(s, "SREL", "fom", "ejection", "produced", "campaign")),
        "missing",
        "force_rsd",
        0,
        "channel left out",
    ),
    Odd(
        "no code",
        lambda s: _text(_without(s, "code")),
        "unknown product",
        "code",
        0,
        "densities and pressures",
    ),
    Odd(
        "unknown code",
        lambda s: _text(_cells(s, "code", lambda _: "99")),
        "unknown product",
        "code",
        0,
        "densities and pressures",
    ),
    Odd(
        "an optional column empty",
        lambda s: _text(_cells(s, "stiffness", lambda _: "")),
        "missing",
        "stiffness",
        400,
        "channel left out",
    ),
    Odd(
        "an optional column zero",
        lambda s: _text(_cells(s, "ejection", lambda _: "0")),
        "zero",
        "ejection_force",
        400,
        "channel left out",
    ),
    Odd(
        "a batch interrupted",
        lambda s: _text([*s[:50], *_cells(s, "batch", lambda _: "9")[50:60], *s[60:]]),
        "mixed batches",
        "batch",
        1,
        "never crosses",
    ),
    Odd(
        "a row without batch",
        lambda s: _text(_some(s, "batch", 300, "")),
        "missing",
        "batch",
        1,
        "left out",
        399,
    ),
    Odd(
        "fill below the band",
        lambda s: _text(_some(s, "tbl_fill", 150, "1.00")),
        "impossible",
        "fill_depth",
        1,
        "both taken as missing",
    ),
    Odd(
        "numbers with spaces",
        lambda s: _text(_cells(s, "main_comp", lambda v: f" {v} ")),
        "standing",
        "",
        -1,
        "kept",
    ),
]


@pytest.mark.parametrize("odd", FOUND, ids=lambda odd: odd.name)
def test_a_file_with_faults_is_read_and_says_so(odd: Odd, small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "press.csv"
    file.write_bytes(odd.damage(small))
    loaded = read_recording(file)
    hits = [f for f in loaded.findings if (f.kind, f.channel) == (odd.kind, odd.channel)]
    assert hits, [(f.kind, f.channel, f.text) for f in loaded.findings]
    assert odd.rows < 0 or odd.rows in {f.rows for f in hits}
    assert any(odd.action in f.action for f in hits)
    assert loaded.recording.size == odd.left
    data = tmp_path / "found.json"
    result = _check(file, "--json", data)
    assert result.exit_code == 0, result.output
    assert odd.kind in result.output
    found = json.loads(data.read_text("utf-8"))["findings"]
    assert [(f["kind"], f["rows"]) for f in found] == [(f.kind, f.rows) for f in loaded.findings]


def test_a_file_that_says_everything_ten_times_is_read_once(
    extract: list[str], tmp_path: Path
) -> None:
    """60,000 rows that say everything ten times: sorted, one of each kept."""
    file = tmp_path / "press.csv"
    file.write_bytes(_text([extract[0], *extract[1:] * 10]))
    loaded = read_recording(file)
    assert loaded.recording.size == len(extract) - 1
    assert {"out of order", "duplicated"} <= {f.kind for f in loaded.findings}


@pytest.fixture(scope="module")
def tiny(extract: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    return _text([extract[0], *extract[1801:1861]]), tmp_path_factory.mktemp("mutated") / "x.csv"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 40)), max_size=6
    ),
    packed=st.booleans(),
)
def test_any_change_of_bytes_ends_in_a_recording_or_in_words(
    tiny: tuple[bytes, Path], changes: list[tuple[int, bytes, int]], packed: bool
) -> None:
    data, file = tiny
    data = gzip.compress(data) if packed else data
    for place, new, cut in changes:
        at = place % max(len(data), 1)
        data = data[:at] + new + data[at + cut :]
    file.write_bytes(data)
    try:
        loaded = read_recording(file)
    except RecordingError as error:
        assert error.wrong and error.right
    else:
        assert loaded.recording.size >= 2
        assert all(f.text and f.action for f in loaded.findings)
