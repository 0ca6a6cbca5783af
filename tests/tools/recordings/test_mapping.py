"""The mapping of a recording: what is shipped, and what it must not say."""

from pathlib import Path

import pytest

from tools.configuration import ConfigError, load_recording_mapping
from tools.recordings.mapping import RecordingMapping, Tooling


def test_the_shipped_mapping_is_the_one_used_without_any(root: Path) -> None:
    assert load_recording_mapping(root / "configs/recordings/tablet_press.yaml") == (
        RecordingMapping()
    )


def test_a_known_code_has_its_tablet_and_another_one_is_assumed() -> None:
    mapping = RecordingMapping()
    assert mapping.tooling("3") == Tooling(
        diameter=pytest.approx(8.1e-3),
        weight=pytest.approx(224.25e-6),
        thickness=pytest.approx(3.95e-3),
        stations=None,
        known=True,
    )
    assert [mapping.tooling(str(code)).known for code in (1, 25, 26)] == [True, True, False]
    assert mapping.tooling("").diameter == pytest.approx(8.1e-3)


@pytest.mark.parametrize(
    ("old", "new", "where", "wrong", "right"),
    [
        ("unit: kN}", "unit: rpm}", "channels.main_force", "'rpm' is no unit", "'kN', 'N'"),
        ("tbl_fill", "main_comp", "channels.fill_depth", "already main_force", "of its own"),
        ("zone: UTC ", "zone: Mars/Base ", "time.zone", "no time zone", "Europe/"),
        ("encoding: utf-8", "encoding: zip", "encoding", "'zip' is unknown", "latin-1"),
        ('decimal: "."', 'decimal: ";"', "decimal", "none of the choices", "','"),
        ("main_force: {", "man_force: {", "channels.man_force", "unknown key", "main_force"),
        ("diameter_mm: 6.1,", "diameter_mm: 0.0061,", "diameter_mm", "0.0061", "above 1"),
        ("column: timestamp", "column: ''", "time.column", "empty", "not empty"),
    ],
)
def test_a_wrong_mapping_says_where_what_and_the_remedy(
    root: Path, tmp_path: Path, old: str, new: str, where: str, wrong: str, right: str
) -> None:
    text = (root / "configs/recordings/tablet_press.yaml").read_text("utf-8")
    assert old in text
    file = tmp_path / "mapping.yaml"
    file.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recording_mapping(file)
    (problem,) = caught.value.problems
    assert where in problem.where
    assert problem.line is not None
    assert wrong in problem.wrong
    assert right in problem.right


def test_separator_and_decimal_mark_differ(root: Path, tmp_path: Path) -> None:
    text = (root / "configs/recordings/tablet_press.yaml").read_text("utf-8")
    text = text.replace('separator: ";"', 'separator: ","').replace('decimal: "."', 'decimal: ","')
    file = tmp_path / "mapping.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="separator and decimal"):
        load_recording_mapping(file)
