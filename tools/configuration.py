"""Loads configurations: YAML, checked against their models, with everything they refer to.

Every file starts with ``kind`` and ``schema: 1``; references are paths relative to the file that
holds them. Nothing but `ConfigError` comes out of a load that fails, and it lists all problems of
a file at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from controller.products.sets import ProductSet
from plant_models.config import MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine
from tools.config_errors import ConfigError
from tools.config_loader import KINDS, Loader

__all__ = [
    "KINDS",
    "ConfigError",
    "Loader",
    "load",
    "load_controller",
    "load_line",
    "load_material",
    "load_product",
    "load_product_set",
    "load_recording_mapping",
    "load_scenario",
    "load_security",
    "load_tagmap",
]


def load(path: Path | str) -> BaseModel:
    """Load a configuration of any kind, with everything it refers to checked."""
    loader = Loader()
    loaded = loader.read(Path(path))
    loader.finish()
    if loaded is None:
        raise AssertionError("a file that is not usable must have left a problem")
    return loaded.model


def _load_as(path: Path | str, kind: str) -> Any:
    loader = Loader()
    loaded = loader.read(Path(path), kind)
    loader.finish()
    if loaded is None:
        raise AssertionError("a file that is not usable must have left a problem")
    return loaded.model


def load_line(path: Path | str) -> ResolvedLine:
    """Load a line with its product, blend and components."""
    loader = Loader()
    resolved = loader.line(Path(path))
    loader.finish()
    if resolved is None:
        raise AssertionError("a line that is not usable must have left a problem")
    return resolved


def load_product(path: Path | str) -> ProductConfig:
    """Load a product."""
    return cast(ProductConfig, _load_as(path, "product"))


def load_product_set(path: Path | str) -> ProductSet:
    """Load a product set with everything that it refers to."""
    loader = Loader()
    made = loader.product_set(Path(path))
    loader.finish()
    if made is None:
        raise AssertionError("a set that is not usable must have left a problem")
    return made


def load_material(path: Path | str) -> MaterialConfig:
    """Load a material."""
    return cast(MaterialConfig, _load_as(path, "material"))


def load_controller(path: Path | str) -> Any:
    """Load a controller: a `controller.config.ControllerConfig`."""
    return _load_as(path, "controller")


def load_scenario(path: Path | str) -> Any:
    """Load a scenario: a `hil.config.ScenarioConfig`."""
    return _load_as(path, "scenario")


def load_security(path: Path | str) -> Any:
    """Load security settings: a `tools.security.SecurityConfig`."""
    return _load_as(path, "security")


def load_tagmap(path: Path | str) -> Any:
    """Load a tag map: a `controller.link.tagmap.TagMapConfig`."""
    return _load_as(path, "tagmap")


def load_recording_mapping(path: Path | str) -> Any:
    """Load the mapping of a recording's file: a `tools.recordings.mapping.RecordingMapping`."""
    return _load_as(path, "recording")
