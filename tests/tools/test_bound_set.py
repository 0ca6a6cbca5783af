"""The set that people put in force is that of the run: the next start of its controller has it."""

import logging
from pathlib import Path

import pytest

from controller.products.sets import ProductSet
from tools.configuration import load_product_set
from tools.product_sets import Bound, bind, bound_in, recipes_beside
from tools.rundir import RunDir


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """Sets of a folder that may be changed."""
    for source in (root / "configs").rglob("*.yaml"):
        target = tmp_path / source.relative_to(root / "configs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return tmp_path / "product_sets"


def changed(file: Path, name: str, **values: str) -> Path:
    """Another version of a set beside it."""
    text = file.read_text("utf-8").replace("version: 1\n", "version: 2\n")
    for key, value in values.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{key}:"))
        text = text.replace(old, f"{key}: {value}")
    other = file.with_name(f"{name}.yaml")
    other.write_text(text, "utf-8")
    return other


@pytest.fixture
def sets(copied: Path) -> dict[str, ProductSet]:
    first = copied / "reference_tablet.yaml"
    files = {"a": first, "a2": changed(first, "second"), "b": copied / "half_strength_tablet.yaml"}
    return {name: load_product_set(file) for name, file in files.items()}


def known(*made: ProductSet) -> dict[str, ProductSet]:
    return {m.hash: m for m in made}


def test_a_run_in_which_nobody_chose_has_what_its_controller_is_started_with(
    tmp_path: Path, sets: dict[str, ProductSet]
) -> None:
    assert bound_in(RunDir(tmp_path), sets["a"], known(*sets.values())) is None


@pytest.mark.parametrize("named", ["a", "a2"])
def test_a_start_as_before_or_with_what_was_chosen_has_what_was_chosen(
    tmp_path: Path, sets: dict[str, ProductSet], named: str
) -> None:
    run, chosen = RunDir(tmp_path), Bound(sets["a2"], sets["a"].hash, (sets["a"].hash,))
    bind(run, chosen)
    assert bound_in(run, sets[named], known(*sets.values())) == chosen
    assert [p.name for p in tmp_path.glob("product_set.json*")] == ["product_set.json"]


def test_who_names_a_third_set_means_it(
    tmp_path: Path, sets: dict[str, ProductSet], caplog: pytest.LogCaptureFixture
) -> None:
    bind(RunDir(tmp_path), Bound(sets["a2"], sets["a"].hash))
    with caplog.at_level(logging.WARNING):
        assert bound_in(RunDir(tmp_path), sets["b"], known(*sets.values())) is None
    assert f"takes the place of {sets['a2'].label}" in caplog.text


def test_without_the_set_in_force_a_controller_does_not_start_with_another(
    tmp_path: Path, sets: dict[str, ProductSet]
) -> None:
    bind(RunDir(tmp_path), Bound(sets["a2"], sets["a"].hash))
    with pytest.raises(ValueError, match=r"version 2 .* is in force in this run, and it is not"):
        bound_in(RunDir(tmp_path), sets["a"], known(sets["a"], sets["b"]))


def test_the_plc_can_load_the_approved_sets_of_its_line(copied: Path) -> None:
    first = copied / "reference_tablet.yaml"
    changed(first, "draft", status="draft")
    changed(first, "approved", tooling="another one")
    (copied / "broken.yaml").write_text("kind: product_set\n", "utf-8")
    other = copied.parent / "lines/other.yaml"
    other.write_bytes((copied.parent / "lines/reference.yaml").read_bytes())
    for controller in (copied.parent / "controllers").glob("*.yaml"):
        text = controller.read_text("utf-8").replace("lines/reference.yaml", "lines/other.yaml")
        controller.with_name(f"other_{controller.name}").write_text(text, "utf-8")
    elsewhere = changed(first, "elsewhere", line="../lines/other.yaml")
    text = elsewhere.read_text("utf-8").replace("controllers/", "controllers/other_")
    elsewhere.write_text(text, "utf-8")
    assert load_product_set(elsewhere).config.status == "approved"
    found = {recipe.recipe_id for recipe in recipes_beside(first)}
    wanted = ("reference_tablet", "half_strength_tablet", "approved")
    assert found == {load_product_set(copied / f"{n}.yaml").recipe_id for n in wanted}
    assert {r.carry_over for r in recipes_beside(first)} == {1e-3}
