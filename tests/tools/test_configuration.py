"""Loading of configurations: references, lines of entries, checks across files, hostile input."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from plant_models.config import REQUIRED_MANIPULATED, LineConfig, MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine
from plant_models.units import UNITS
from tools.config_errors import ConfigError, Problem
from tools.config_schema import quantity_unit
from tools.configuration import (
    KINDS,
    Loader,
    load,
    load_controller,
    load_line,
    load_material,
    load_product,
    load_scenario,
    load_security,
    load_tagmap,
)
from tools.yaml_paths import LARGEST_FILE_BYTES, YamlProblem, parse_yaml, path_text


def _copy_of_configs(root: Path, to: Path) -> Path:
    for source in (root / "configs").rglob("*.yaml"):
        target = to / source.relative_to(root / "configs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return to


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


def _problems(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return caught.value.problems


# references


def test_a_line_comes_with_its_product_blend_and_components(root: Path) -> None:
    resolved = load_line(root / "configs/lines/reference.yaml")
    assert isinstance(resolved, ResolvedLine)
    assert resolved.product.name == "reference tablet"
    assert resolved.blend.compaction is not None
    assert [c.name for c in resolved.components] == ["API", "MCC/lactose", "magnesium stearate"]
    assert [f.role for f in resolved.line.feeders] == ["api", "filler", "lubricant"]


def test_the_same_files_give_the_same_digest_and_a_change_another(
    root: Path, tmp_path: Path
) -> None:
    copy = _copy_of_configs(root, tmp_path)
    original = load_line(root / "configs/lines/reference.yaml").digest()
    assert load_line(copy / "lines/reference.yaml").digest() == original
    _edit(copy / "materials/lubricant.yaml", "name: magnesium", "name: Magnesium")
    assert load_line(copy / "lines/reference.yaml").digest() != original


def test_each_kind_has_its_loader(root: Path) -> None:
    configs = root / "configs"
    assert isinstance(load_product(configs / "products/reference_tablet.yaml"), ProductConfig)
    assert isinstance(load_material(configs / "materials/mcc_ph102.yaml"), MaterialConfig)
    assert isinstance(load(configs / "lines/reference.yaml"), LineConfig)
    assert load_scenario(configs / "scenarios/shift.yaml").kind == "scenario"
    assert load_controller(configs / "controllers/pid.yaml").algorithm == "pid"
    assert load_security(configs / "security/default.yaml").kind == "security"
    tagmap = load_tagmap(configs / "tagmaps/foreign_plc.yaml")
    assert tagmap.inwards("Line/Press/MainForce/PV", 7260.0) == pytest.approx(7.24)


def test_a_loader_refuses_another_kind(root: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_material(root / "configs/products/reference_tablet.yaml")
    (problem,) = caught.value.problems
    assert (problem.where, problem.wrong) == ("kind", "this is a product")
    assert problem.right == "a file of kind material is needed here"


def test_a_defect_is_reported_in_the_file_that_has_it(root: Path, tmp_path: Path) -> None:
    copy = _copy_of_configs(root, tmp_path)
    _edit(copy / "materials/api.yaml", "1290", "-1290")
    (problem,) = _problems(copy / "lines/reference.yaml")
    assert problem.file == copy / "materials/api.yaml"
    assert (problem.where, problem.line) == ("true_density_kg_m3", 5)


def test_a_file_read_twice_is_reported_once(root: Path, tmp_path: Path) -> None:
    copy = _copy_of_configs(root, tmp_path)
    _edit(copy / "materials/api.yaml", "1290", "-1290")
    loader = Loader()
    for file in sorted(copy.rglob("*.yaml")):
        loader.read(file)
    assert len(loader.problems) == 1


def test_an_error_reads_as_file_place_defect_and_remedy(root: Path, tmp_path: Path) -> None:
    copy = _copy_of_configs(root, tmp_path)
    file = copy / "lines/reference.yaml"
    _edit(file, "refill_to_percent: 72.0", "refill_to_percent: 720")
    with pytest.raises(ConfigError) as caught:
        load_line(file)
    assert caught.value.path == file
    assert caught.value.where == "feeders[0].refill_to_percent"
    assert str(caught.value).splitlines() == [
        f"file   {file}",
        "at     feeders[0].refill_to_percent (line 22)",
        "wrong  720 % is above 100",
        "right  a number at least 0 and at most 100 (%)",
    ]


# checks across files


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("lines/reference.yaml", "unit: mm, nominal: 3.084", "unit: m, nominal: 3.084", "unit"),
        ("materials/lubricant.yaml", "1090", "600", "feeders"),
        ("materials/filler.yaml", "1558.2", "1540.0", "feeders"),
        ("materials/reference_blend.yaml", "0.3157894737", "0.40", "initial_density"),
        ("products/reference_tablet.yaml", "weight_mg: 200.0", "weight_mg: 191.0", "manipulated"),
        ("products/reference_tablet.yaml", "throughput_kg_h: 20.0", "throughput_kg_h: 29", "thro"),
        ("products/reference_tablet.yaml", "lo: 3.15", "lo: 3.40", "thickness_zone_mm"),
        ("products/reference_tablet.yaml", "lo: 1.7", "lo: 2.249", "tensile_strength_limits_mpa"),
        ("products/reference_tablet.yaml", "pre_force_max_kn: 5.0", "pre_force_max_kn: 3", "press"),
        ("products/reference_tablet.yaml", "lo: 30.0, hi: 80.0", "lo: 60, hi: 80", "chute"),
        ("lines/reference.yaml", "role: lubricant", "role: excipient", "feeders"),
        ("lines/reference.yaml", "hopper_start_percent: 70.0", "hopper_start_percent: 9", "hopper"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    root: Path, tmp_path: Path, file: str, old: str, new: str, where: str
) -> None:
    copy = _copy_of_configs(root, tmp_path)
    _edit(copy / file, old, new)
    problems = _problems(copy / "lines/reference.yaml")
    assert any(where in problem.where for problem in problems), problems


def test_half_a_percent_of_density_is_tolerated(root: Path, tmp_path: Path) -> None:
    copy = _copy_of_configs(root, tmp_path)
    _edit(copy / "materials/reference_blend.yaml", "true_density_kg_m3: 1520", _density(1526))
    load_line(copy / "lines/reference.yaml")
    _edit(copy / "materials/reference_blend.yaml", _density(1526), _density(1530))
    (problem,) = _problems(copy / "lines/reference.yaml")
    assert problem.where == "feeders"
    assert "a true density of 1520" in problem.wrong


def _density(value: int) -> str:
    return f"true_density_kg_m3: {value}"


def test_manipulated_variables_have_units_that_can_be_converted() -> None:
    assert set(REQUIRED_MANIPULATED.values()) <= set(UNITS)


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0.5", -0.5),
        ("1e-3", 1e-3),
        ("1E+3", 1000.0),
        ("+7", 7),
        ("0x10", 16),
        ("0o17", 15),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("off", "off"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'12'", "12"),
        ('"12"', "12"),
        ("=", "="),
        ("1_000", "1_000"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}\n".encode()).data["key"]
    assert (type(found), found) == (type(value), value)


def test_every_entry_knows_its_line() -> None:
    document = parse_yaml(b"a: 1\nb:\n  - {c: 2}\n  - c: 3\n    d:\n      - 4\n")
    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "c")) == 3
    assert document.line(("b", 1, "d", 0)) == 6
    assert document.line(("b", 1, "missing")) == 4
    assert document.value(("b", 1, "d", 0)) == 4
    with pytest.raises(LookupError):
        document.value(("a", "b"))


def test_paths_read_like_code() -> None:
    assert path_text(("feeders", 1, "refill_to_percent")) == "feeders[1].refill_to_percent"
    assert path_text(()) == "(whole file)"


@pytest.mark.parametrize(
    ("raw", "wrong", "line"),
    [
        (b"a: 1\nb: 2\na: 3\n", "the key 'a' occurs twice (first in line 1)", 3),
        (b"a: &x 1\nb: *x\n", "anchors and aliases are not allowed", 1),
        (b"a: !!python/name:os.system ''\n", "is not allowed", 1),
        (b"a: !!binary aGVsbG8=\n", "is not allowed", 1),
        (b"a: 1\n---\nb: 2\n", "not valid YAML", 2),
        (b"a: [1, 2\n", "not valid YAML", 2),
        (b"\ta: 1\n", "not valid YAML", 1),
        (b"? [1, 2]\n: 3\n", "a key is not a word", 1),
        (b'"": 3\n', "a key is not a word", 1),
        (b'"a\\nb": 3\n', "a key is not a word", 1),
        (b'a: "\\ud800"\n', "lone surrogate", 1),
        (b"a: " + b"[" * 30 + b"]" * 30, "nested deeper", 1),
        (b"a: \xff\n", "byte 3 is not UTF-8 text", 1),
        (b"a: 1\n\x00", "not valid YAML", None),
        (b"# only a comment\n", "the file is empty", 1),
    ],
)
def test_yaml_that_nobody_needs_is_refused(raw: bytes, wrong: str, line: int | None) -> None:
    with pytest.raises(YamlProblem) as caught:
        parse_yaml(raw)
    assert wrong in caught.value.wrong
    assert caught.value.line == line
    assert caught.value.right


def test_a_large_file_is_refused_unparsed(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"a: 1\n" * (LARGEST_FILE_BYTES // 5 + 1))
    (problem,) = _problems(file)
    assert problem.wrong == "the file is larger than 256 KiB"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path)
    assert problem.wrong.startswith("the file cannot be read")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("throughput_kg_h", "kg/h"),
        ("pre_force_max_kn", "kN"),
        ("feed_factor_min_g_rev", "g/rev"),
        ("compliance_um_per_kn", "µm/kN"),
        ("settling_time_s", "s"),
        ("fill_sensitivity_per_kg", "1/kg"),
        ("tanks", ""),
    ],
)
def test_the_unit_is_read_off_the_name(name: str, unit: str) -> None:
    document = parse_yaml(f"{name}: 1\n".encode())
    assert quantity_unit((name,), document) == unit


def test_the_unit_of_a_zone_is_its_parents_and_of_a_range_its_siblings() -> None:
    document = parse_yaml(b"weight_limits_mg: {lo: 1}\nm: {unit: kN, lo: 1}\n")
    assert quantity_unit(("weight_limits_mg", "lo"), document) == "mg"
    assert quantity_unit(("m", "lo"), document) == "kN"


# hostile input

_WORDS = st.sampled_from(
    [
        *KINDS,
        "kind",
        "schema",
        "name",
        "feeders",
        "product",
        "blend",
        "line",
        "compaction",
        "true_density_kg_m3",
        "1",
        "1e400",
        ".nan",
        "-0",
        "~",
        "../x.yaml",
        "fuzz.yaml",
        ".",
        "/",
        "\x00",
    ]
)
_SCALARS = st.one_of(
    _WORDS, st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none()
)
_TREES = st.recursive(
    _SCALARS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(_WORDS, part, max_size=6),
    max_leaves=20,
)


def _outcome(file: Path, raw: bytes) -> BaseModel | ConfigError:
    file.write_bytes(raw)
    try:
        return load(file)
    except ConfigError as error:
        return error


def _is_told_in_full(outcome: BaseModel | ConfigError) -> bool:
    if isinstance(outcome, BaseModel):
        return True
    return all(p.where and p.wrong and p.right for p in outcome.problems)


@given(raw=st.binary(max_size=200))
@settings(max_examples=200)
def test_random_bytes_give_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    assert _is_told_in_full(_outcome(tmp_path_factory.getbasetemp() / "fuzz.yaml", raw))


@given(tree=_TREES)
@settings(max_examples=200)
def test_random_documents_give_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    raw = json.dumps(tree).encode()
    assert _is_told_in_full(_outcome(tmp_path_factory.getbasetemp() / "fuzz.yaml", raw))


@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_configuration_gives_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, root: Path, data: st.DataObject
) -> None:
    """Bytes are cut out, doubled or replaced in a real file; references keep pointing somewhere."""
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        _copy_of_configs(root, folder)
    name = data.draw(
        st.sampled_from(
            ["lines/reference.yaml", "products/reference_tablet.yaml", "scenarios/shift.yaml"]
        )
    )
    raw = (root / "configs" / name).read_bytes()
    start = data.draw(st.integers(0, len(raw) - 1))
    stop = data.draw(st.integers(start, min(len(raw), start + 40)))
    patch = data.draw(
        st.sampled_from(
            [b"", b"0", b"-", b"1e9", b"1e308", b":", b"\n", b" ", b"x", raw[start:stop]]
        )
        | st.binary(max_size=4)
    )
    file = folder / Path(name).parent / "damaged.yaml"
    assert _is_told_in_full(_outcome(file, raw[:start] + patch + raw[stop:]))


@given(
    value=st.one_of(
        st.floats(), st.integers(-(10**20), 10**20), st.booleans(), st.text(max_size=5), st.none()
    ),
    data=st.data(),
)
@settings(max_examples=150)
def test_any_value_in_any_field_of_a_line_gives_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, root: Path, value: object, data: st.DataObject
) -> None:
    """Numbers that pass their own field's check must not upset the checks across files."""
    folder = tmp_path_factory.getbasetemp() / "values"
    if not folder.exists():
        _copy_of_configs(root, folder)
    document = parse_yaml((root / "configs/lines/reference.yaml").read_bytes()).data
    section = data.draw(
        st.sampled_from(sorted(k for k in document if isinstance(document[k], dict)))
    )
    field = data.draw(st.sampled_from(sorted(document[section])))
    document[section][field] = value
    raw = json.dumps(document).replace("NaN", ".nan").replace("Infinity", ".inf").encode()
    assert _is_told_in_full(_outcome(folder / "lines" / "changed.yaml", raw))
