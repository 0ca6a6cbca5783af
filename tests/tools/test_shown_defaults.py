"""Settings that a shipped configuration shows for those who look for them are the defaults."""

from pathlib import Path

import pytest
import yaml

from controller.products_config import ProductsConfig
from controller.service_config import ServiceConfig


@pytest.mark.parametrize(
    ("section", "model"), [("service", ServiceConfig), ("products", ProductsConfig)]
)
def test_the_controller_shows_every_setting_with_its_default(
    section: str, model: type[ServiceConfig] | type[ProductsConfig], root: Path
) -> None:
    file = root / "configs" / "controllers" / "nmpc.yaml"
    shown = yaml.safe_load(file.read_text("utf-8"))["supervision"][section]
    assert shown == model().model_dump(mode="json")
    assert model.model_validate(shown) == model()
