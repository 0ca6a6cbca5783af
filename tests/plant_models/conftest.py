"""The reference line and the pure-MCC check material."""

from pathlib import Path

import pytest

from plant_models.config import MaterialConfig
from plant_models.line import ResolvedLine, compaction, press_parameters
from plant_models.tablet_press import Compaction, PressParameters
from tools.configuration import load_line, load_material

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="session")
def reference() -> ResolvedLine:
    return load_line(CONFIGS / "lines" / "reference.yaml")


@pytest.fixture(scope="session")
def press(reference: ResolvedLine) -> PressParameters:
    return press_parameters(reference)


@pytest.fixture(scope="session")
def blend(reference: ResolvedLine) -> Compaction:
    return compaction(reference.blend)


@pytest.fixture(scope="session")
def mcc() -> MaterialConfig:
    return load_material(CONFIGS / "materials" / "mcc_ph102.yaml")
