"""Loads configurations: YAML, checked against their models, with everything they refer to.

Every file starts with ``kind`` and ``schema: 1``; references are paths relative to the file that
holds them. Nothing but `ConfigError` comes out of a load that fails, and it lists all problems of
a file at once.
"""

from __future__ import annotations

import difflib
import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from plant_models.config import LineConfig, MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine
from tools.config_checks import check_line
from tools.config_errors import ConfigError, Problem, problems_of
from tools.yaml_paths import Document, YamlProblem, path_text, read_yaml

__all__ = [
    "KINDS",
    "ConfigError",
    "Loader",
    "load",
    "load_controller",
    "load_line",
    "load_material",
    "load_product",
    "load_scenario",
    "load_security",
    "load_tagmap",
]

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

# kind -> module and class of its model, imported when the first file of that kind is read.
KINDS: dict[str, tuple[str, str]] = {
    "line": ("plant_models.config", "LineConfig"),
    "material": ("plant_models.config", "MaterialConfig"),
    "product": ("plant_models.config", "ProductConfig"),
    "controller": ("controller.config", "ControllerConfig"),
    "scenario": ("hil.config", "ScenarioConfig"),
    "security": ("tools.security", "SecurityConfig"),
    "tagmap": ("tools.tagmap", "TagMapConfig"),
}

# kind -> top-level fields that hold a path, and the kind of file they point to.
REFERENCES: dict[str, dict[str, str]] = {
    "line": {"product": "product"},
    "product": {"blend": "material"},
    "controller": {
        "line": "line",
        "scenario": "scenario",
        "security": "security",
        "tagmap": "tagmap",
    },
    "scenario": {"line": "line"},
    "tagmap": {"line": "line"},
}


def model_of(kind: str) -> type[BaseModel]:
    """Model class of a kind; raises ``KeyError`` for one that does not exist."""
    module, name = KINDS[kind]
    try:
        return cast(type[BaseModel], getattr(importlib.import_module(module), name))
    except (ModuleNotFoundError, AttributeError) as error:
        raise KeyError(f"this version has no configuration of kind {kind!r}") from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    kind: str
    model: BaseModel
    document: Document


@dataclass(slots=True)
class Loader:
    """Reads files, each once, and collects what is wrong with them.

    Attributes
    ----------
    problems
        Everything found so far, without repetitions.
    """

    problems: list[Problem] = field(default_factory=list)
    _seen: dict[Path, _Loaded | None] = field(default_factory=dict)
    _lines: dict[Path, ResolvedLine | None] = field(default_factory=dict)

    def read(self, file: Path, wanted: str | None = None) -> _Loaded | None:
        """Read one file with what it refers to; ``None`` when it is not usable."""
        key = file.resolve()
        if key not in self._seen:
            self._seen[key] = None  # a circle of references ends here
            found = self._read(file)
            if found is not None and found.kind == "line":
                self._lines[key] = self._resolve(file, found)
                found = found if self._lines[key] is not None else None
            self._seen[key] = found
        loaded = self._seen[key]
        if loaded is not None and wanted is not None and loaded.kind != wanted:
            self._add(
                file,
                loaded.document,
                ("kind",),
                f"this is a {loaded.kind}",
                f"a file of kind {wanted} is needed here",
            )
            return None
        return loaded

    def line(self, file: Path) -> ResolvedLine | None:
        """Read a line and join it with its product, blend and components."""
        return self._lines.get(file.resolve()) if self.read(file, "line") is not None else None

    def finish(self) -> None:
        """Raise `ConfigError` if anything was found."""
        if self.problems:
            raise ConfigError(self.problems)

    def _add(self, file: Path, document: Document, path: Path_, wrong: str, right: str) -> None:
        problem = Problem(
            file=file, where=path_text(path), line=document.line(path), wrong=wrong, right=right
        )
        if problem not in self.problems:
            self.problems.append(problem)

    def _read(self, file: Path) -> _Loaded | None:
        try:
            document = read_yaml(file)
        except YamlProblem as e:
            self.problems.append(
                Problem(
                    file=file, where=path_text(e.path), line=e.line, wrong=e.wrong, right=e.right
                )
            )
            return None
        kind = self._kind(file, document)
        if kind is None:
            return None
        model = model_of(kind)
        try:
            parsed = model.model_validate_json(json.dumps(document.data), strict=True)
        except ValidationError as error:
            self.problems += [
                p for p in problems_of(error, file, document, model) if p not in self.problems
            ]
            return None
        return _Loaded(kind, parsed, document) if self._follow(file, kind, document) else None

    def _kind(self, file: Path, document: Document) -> str | None:
        choices = ", ".join(KINDS)
        if not isinstance(document.data, dict):
            self._add(file, document, (), "the file is not a mapping", "keys, first 'kind:'")
            return None
        kind = document.data.get("kind")
        if "kind" not in document.data:
            close = difflib.get_close_matches("kind", list(document.data), 1, 0.6)
            hint = f"; did you mean it by {close[0]!r}?" if close else ""
            self._add(file, document, ("kind",), "'kind' is missing", f"one of {choices}{hint}")
            return None
        if not isinstance(kind, str) or kind not in KINDS:
            close = difflib.get_close_matches(str(kind), list(KINDS), 1, 0.6)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            wrong = f"{kind!r} is no kind of configuration"
            self._add(file, document, ("kind",), wrong, f"one of {choices}{hint}")
            return None
        version = document.data.get("schema")
        if version != 1 or isinstance(version, bool):
            wrong = "'schema' is missing" if version is None else f"schema {version!r} is unknown"
            self._add(file, document, ("schema",), wrong, "schema: 1")
            return None
        try:
            model_of(kind)
        except KeyError as error:
            self._add(file, document, ("kind",), str(error.args[0]), "another kind")
            return None
        return kind

    def _follow(self, file: Path, kind: str, document: Document) -> bool:
        """Read what the file refers to; whether all of it is usable."""
        targets: dict[Path_, str] = {
            (name,): wanted
            for name, wanted in REFERENCES.get(kind, {}).items()
            if isinstance(document.data.get(name), str)
        }
        if kind == "line":
            feeders = document.data["feeders"]
            targets |= {("feeders", i, "material"): "material" for i in range(len(feeders))}
        good = True
        for path, wanted in targets.items():
            good &= self._refer(file, document, path, wanted)
        return good

    def _refer(self, file: Path, document: Document, path: Path_, wanted: str) -> bool:
        text = document.value(path)
        target = file.parent / text
        if Path(text).is_absolute():
            self._add(
                file, document, path, f"{text!r} is an absolute path", "a path relative to the file"
            )
            return False
        try:
            exists = target.is_file()
        except (OSError, ValueError):
            exists = False
        if not exists:
            self._add(
                file,
                document,
                path,
                f"the file {text!r} does not exist",
                f"the path of a {wanted}, relative to this file" + _near(target),
            )
            return False
        loaded = self.read(target)
        if loaded is not None and loaded.kind != wanted:
            wrong = f"{text!r} is a {loaded.kind}"
            self._add(file, document, path, wrong, f"the path of a {wanted}")
            return False
        return loaded is not None

    def _resolve(self, file: Path, top: _Loaded) -> ResolvedLine | None:
        line = cast(LineConfig, top.model)
        product_file = file.parent / line.product
        product = self.read(product_file, "product")
        if product is None:
            return None
        product_config = cast(ProductConfig, product.model)
        blend_file = product_file.parent / product_config.blend
        blend = self.read(blend_file, "material")
        components = [self.read(file.parent / f.material, "material") for f in line.feeders]
        if blend is None or any(c is None for c in components):
            return None
        blend_config = cast(MaterialConfig, blend.model)
        for part in ("compaction", "strength"):
            if getattr(blend_config, part) is None:
                self._add(
                    product_file,
                    product.document,
                    ("blend",),
                    f"the blend {blend_config.name!r} has no {part!r}",
                    "a material with 'compaction' and 'strength', since it is pressed",
                )
                return None
        resolved = ResolvedLine(
            line=line,
            product=product_config,
            blend=blend_config,
            components=tuple(cast(MaterialConfig, c.model) for c in components if c),
        )
        places = {
            "line": (file, top.document),
            "product": (product_file, product.document),
            "blend": (blend_file, blend.document),
        }
        findings = check_line(resolved)
        for finding in findings:
            where, document = places[finding.owner]
            self._add(where, document, finding.path, finding.wrong, finding.right)
        return None if findings else resolved


def _near(target: Path) -> str:
    try:
        names = [p.name for p in target.parent.iterdir() if p.suffix in {".yaml", ".yml"}]
    except (OSError, ValueError):
        return ""
    close = difflib.get_close_matches(target.name, names, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


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
    """Load a tag map."""
    return _load_as(path, "tagmap")
