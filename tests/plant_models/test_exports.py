"""What a module offers is what it says it offers."""

import importlib
import inspect
import pkgutil

import pytest

import plant_models

MODULES = sorted(info.name for info in pkgutil.iter_modules(plant_models.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_all_names_are_listed_and_sorted(name: str) -> None:
    module = importlib.import_module(f"plant_models.{name}")
    listed = list(module.__all__)
    public = {
        n
        for n, member in vars(module).items()
        if not n.startswith("_")
        and (inspect.isclass(member) or inspect.isfunction(inspect.unwrap(member)))
        and getattr(member, "__module__", None) == module.__name__
    }
    assert public <= set(listed)
    assert all(hasattr(module, n) for n in listed)
    assert len(set(listed)) == len(listed)


def test_models_touch_neither_files_nor_clocks_nor_chance() -> None:
    forbidden = {"time", "datetime", "random", "os", "pathlib", "socket", "subprocess", "io"}
    for name in MODULES:
        module = importlib.import_module(f"plant_models.{name}")
        used = {m.__name__.split(".")[0] for m in vars(module).values() if inspect.ismodule(m)}
        assert used & forbidden == set(), name
