"""The hash of a set: nothing that is said escapes it, and nothing but what is said gets into it."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.products.canonical import SHORT, canonical, digest, leaves
from controller.products.sets import ProductSet, binding
from tools.config_errors import ConfigError
from tools.configuration import load_line, load_product_set

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "configs/product_sets/reference_tablet.yaml"
HALF = ROOT / "configs/product_sets/half_strength_tablet.yaml"
FILES = (
    "product_sets/half_strength_tablet.yaml",
    "products/half_strength_tablet.yaml",
    "lines/reference.yaml",
    "controllers/pid.yaml",
    "materials/half_strength_blend.yaml",
    "materials/filler.yaml",
)


@lru_cache
def _half() -> ProductSet:
    return load_product_set(HALF)


def _copy(to: Path) -> Path:
    for source in (ROOT / "configs").rglob("*.yaml"):
        target = to / source.relative_to(ROOT / "configs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return to


@lru_cache
def _spots() -> list[tuple[str, Any]]:
    return list(leaves(_half().content))


def _put(content: Any, path: str, value: Any) -> Any:
    changed = copy.deepcopy(content)
    for known in _places(changed):
        if known[0] == path:
            known[1][known[2]] = value
            return changed
    raise AssertionError(path)


def _places(content: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(content, dict):
        items: Any = [(k, f"{path}.{k}" if path else str(k)) for k in content]
    elif isinstance(content, list):
        items = [(i, f"{path}[{i}]") for i in range(len(content))]
    else:
        return []
    found = []
    for key, where in items:
        found.append((where, content, key))
        found += _places(content[key], where)
    return found


@given(data=st.data())
@settings(max_examples=150)
def test_any_change_of_any_value_changes_the_hash(data: st.DataObject) -> None:
    content = json.loads(canonical(_half().content))
    path, value = data.draw(st.sampled_from([s for s in _spots() if s[1] not in ((), {}, [])]))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        other: Any = data.draw(st.text(max_size=5))
    else:
        other = data.draw(st.floats(-1e6, 1e6))
    if other == value:
        return
    assert digest(_put(content, path, other)) != _half().hash


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
        max_leaves=15,
    )
)
def test_the_canonical_text_says_the_same_and_does_not_depend_on_the_order(content: Any) -> None:
    text = canonical(content)
    assert json.loads(text) == content
    assert canonical(json.loads(text)) == text

    def turned(part: Any) -> Any:
        if isinstance(part, dict):
            return {k: turned(part[k]) for k in reversed(list(part))}
        return [turned(p) for p in part] if isinstance(part, list) else part

    assert canonical(turned(content)) == text


def test_a_number_that_is_none_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})


@given(
    file=st.sampled_from(FILES),
    sort_keys=st.booleans(),
    flow=st.sampled_from([True, False, None]),
    indent=st.integers(2, 6),
    width=st.integers(40, 200),
)
@settings(max_examples=12, deadline=None)
def test_formatting_does_not_change_the_hash(
    tmp_path_factory: pytest.TempPathFactory,
    file: str,
    sort_keys: bool,
    flow: bool | None,
    indent: int,
    width: int,
) -> None:
    """Order of keys, comments, block or flow style, indentation, where the folder lies."""
    folder = _copy(tmp_path_factory.mktemp("formatted"))
    text = yaml.safe_dump(
        yaml.safe_load((folder / file).read_text("utf-8")),
        sort_keys=sort_keys,
        default_flow_style=flow,
        indent=indent,
        width=width,
    )
    (folder / file).write_text("# another comment\n\n" + text, "utf-8")
    assert load_product_set(folder / "product_sets/half_strength_tablet.yaml").hash == _half().hash


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("product_sets/half_strength_tablet.yaml", "version: 1", "version: 2"),
        ("product_sets/half_strength_tablet.yaml", "status: approved", "status: draft"),
        ("product_sets/half_strength_tablet.yaml", "LC-2026-01", "LC-2026-02"),
        ("product_sets/half_strength_tablet.yaml", "flat-faced", "concave"),
        ("product_sets/half_strength_tablet.yaml", "lo: 4.85", "lo: 4.86"),
        ("product_sets/half_strength_tablet.yaml", "nominal: 7.40", "nominal: 7.41"),
        ("products/half_strength_tablet.yaml", "{lo: 171.0", "{lo: 172.0"),
        ("lines/reference.yaml", "level_gain: 0.5", "level_gain: 0.6"),
        ("materials/half_strength_blend.yaml", "beta: 0.35", "beta: 0.36"),
        ("materials/api.yaml", "name: API", "name: Api"),
        ("controllers/pid.yaml", "weight_gain: 0.3", "weight_gain: 0.31"),
        ("controllers/nmpc.yaml", "spike: 12,", "spike: 13,"),
    ],
)  # fmt: skip
def test_every_file_of_a_set_counts(tmp_path: Path, file: str, old: str, new: str) -> None:
    folder = _copy(tmp_path)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), "utf-8")
    made = load_product_set(folder / "product_sets/half_strength_tablet.yaml")
    assert made.hash != _half().hash


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("controllers/pid.yaml", "start_mode: MONITORING", "start_mode: OFF"),
        ("controllers/pid.yaml", "write_timeout_s: 0.5", "write_timeout_s: 0.6"),
        ("products/reference_tablet.yaml", "name: reference", "name: Reference"),
    ],
)
def test_what_is_not_the_products_does_not_count(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    folder = _copy(tmp_path)
    text = (folder / file).read_text("utf-8")
    (folder / file).write_text(text.replace(old, new), "utf-8")
    made = load_product_set(folder / "product_sets/half_strength_tablet.yaml")
    assert made.hash == _half().hash


def test_the_plant_must_show_the_products_id_with_the_hash() -> None:
    made = _half()
    assert made.recipe_id == f"HALF-180-01@{made.hash}"
    assert len(made.hash) == SHORT
    bound = binding(made)
    assert (bound.recipe_id_wanted, bound.objection) == (made.recipe_id, "")


def test_a_set_that_is_not_approved_or_whose_limits_conflict_has_an_objection(
    tmp_path: Path,
) -> None:
    assert binding(_half(), {"a": "a: no room"}).objection == "a: no room"
    folder = _copy(tmp_path)
    file = folder / "product_sets/half_strength_tablet.yaml"
    file.write_text(file.read_text("utf-8").replace("status: approved", "status: draft"), "utf-8")
    text = binding(load_product_set(file)).objection
    assert text == "half-strength tablet version 1 is draft, not approved"


def test_the_reference_set_leaves_the_line_as_it_is() -> None:
    line = load_line(ROOT / "configs/lines/reference.yaml")
    assert load_product_set(REFERENCE).line.digest() == line.digest()


def test_a_broken_part_breaks_the_set_where_it_is_broken(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    file = folder / "controllers/pid.yaml"
    file.write_text(file.read_text("utf-8").replace("weight_gain: 0.3", "weight_gain: 3"), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_product_set(folder / "product_sets/half_strength_tablet.yaml")
    assert [p.file for p in caught.value.problems] == [file]
