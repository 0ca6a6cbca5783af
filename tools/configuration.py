"""Loads configurations: YAML, checked against their models, with everything they refer to.

Every file starts with ``kind`` and ``schema: 1``; references are paths relative to the file that
holds them. Nothing but `ConfigError` comes out of a load that fails, and it lists all problems of
a file at once.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from plant_models.config import LineConfig, MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine
from tools.config_checks import check_line
from tools.config_errors import ConfigError, Problem, problems_of
from tools.config_finding import Finding
from tools.config_partners import (
    check_controller,
    check_product,
    check_scenario,
    check_tagmap,
)
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
    "load_recording_mapping",
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
    "tagmap": ("controller.link.tagmap", "TagMapConfig"),
    "recording": ("tools.recordings.mapping", "RecordingMapping"),
}

# kind -> fields that hold a path, and the kind of file they point to.
REFERENCES: dict[str, dict[Path_, str]] = {
    "line": {("product",): "product"},
    "product": {("blend",): "material"},
    "controller": {("line",): "line", ("link", "tagmap"): "tagmap", ("security",): "security"},
    "scenario": {("line",): "line"},
    "tagmap": {("line",): "line"},
}

# kind -> what it must have in common with its line.
_LINE_CHECKS: dict[str, Callable[[Any, ResolvedLine], list[Finding]]] = {
    "controller": check_controller,
    "scenario": check_scenario,
    "tagmap": check_tagmap,
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
    _open: set[Path] = field(default_factory=set)
    _lines: dict[Path, ResolvedLine | None] = field(default_factory=dict)

    def read(self, file: Path, wanted: str | None = None) -> _Loaded | None:
        """Read one file with what it refers to; ``None`` when it is not usable."""
        key = file.resolve()
        if key not in self._seen:
            self._seen[key] = None
            self._open.add(key)
            found = self._read(file)
            self._open.discard(key)
            self._seen[key] = found if found is not None and self._fits(file, found) else None
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
                p
                for p in problems_of(error, file, document, model, _path_fields(kind))
                if p not in self.problems
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
        targets = dict(REFERENCES.get(kind, {}))
        if kind == "line":
            feeders = document.data["feeders"]
            targets |= {("feeders", i, "material"): "material" for i in range(len(feeders))}
        good = True
        for path, wanted in targets.items():
            try:
                text = document.value(path)
            except LookupError:
                continue
            if isinstance(text, str):
                good &= self._refer(file, document, path, text, wanted)
        return good

    def _refer(self, file: Path, document: Document, path: Path_, text: str, wanted: str) -> bool:
        target = _beside(file, text)
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
        if target.resolve() in self._open:
            wrong = f"{text!r} leads back to this file"
            self._add(file, document, path, wrong, f"the path of a {wanted}")
            return False
        loaded = self.read(target)
        if loaded is not None and loaded.kind != wanted:
            wrong = f"{text!r} is a {loaded.kind}"
            self._add(file, document, path, wrong, f"the path of a {wanted}")
            return False
        return loaded is not None

    def _fits(self, file: Path, loaded: _Loaded) -> bool:
        """Whether the file and those that it refers to agree with each other."""
        model, places = loaded.model, {loaded.kind: (file, loaded.document)}
        findings: list[Finding] = []
        if isinstance(model, LineConfig):
            resolved = self._join(file, model, places)
            findings = check_line(resolved)
            self._lines[file.resolve()] = None if findings else resolved
        elif isinstance(model, ProductConfig):
            blend = cast(MaterialConfig, self._model(_beside(file, model.blend)))
            findings = check_product(model, blend)
        elif loaded.kind in _LINE_CHECKS and getattr(model, "line", None) is not None:
            line = self.line(_beside(file, loaded.document.value(("line",))))
            if line is not None:
                findings = _LINE_CHECKS[loaded.kind](model, line)
        for finding in findings:
            where, document = places[finding.owner]
            self._add(where, document, finding.path, finding.wrong, finding.right)
        return not findings

    def _model(self, file: Path) -> BaseModel:
        loaded = self._seen[file.resolve()]
        if loaded is None:
            raise AssertionError("only called once everything referred to is usable")
        return loaded.model

    def _join(
        self, file: Path, line: LineConfig, places: dict[str, tuple[Path, Document]]
    ) -> ResolvedLine:
        product_file = _beside(file, line.product)
        product = cast(ProductConfig, self._model(product_file))
        blend_file = _beside(product_file, product.blend)
        for name, path in (("product", product_file), ("blend", blend_file)):
            loaded = self._seen[path.resolve()]
            if loaded is not None:
                places[name] = (path, loaded.document)
        return ResolvedLine(
            line=line,
            product=product,
            blend=cast(MaterialConfig, self._model(blend_file)),
            components=tuple(
                cast(MaterialConfig, self._model(_beside(file, f.material))) for f in line.feeders
            ),
        )


def _path_fields(kind: str) -> dict[str, str]:
    fields = {str(path[-1]): wanted for path, wanted in REFERENCES.get(kind, {}).items()}
    return {**fields, "material": "material"} if kind == "line" else fields


def _beside(file: Path, reference: str) -> Path:
    """What a reference in ``file`` points to, without detours unless links make them matter."""
    plain = file.parent / reference
    short = Path(os.path.normpath(plain))
    try:
        return short if short.resolve() == plain.resolve() else plain
    except (OSError, ValueError):
        return plain


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
    """Load a tag map: a `controller.link.tagmap.TagMapConfig`."""
    return _load_as(path, "tagmap")


def load_recording_mapping(path: Path | str) -> Any:
    """Load the mapping of a recording's file: a `tools.recordings.mapping.RecordingMapping`."""
    return _load_as(path, "recording")
