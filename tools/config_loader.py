"""Reads configurations, each file once, follows their references and collects what is wrong.

`tools.configuration` has the functions that load one configuration; here is what they share.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from controller.products.sets import ProductSet
from controller.products_config import ProductSetConfig
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
from tools.config_product_sets import Named, check_bound, join_set
from tools.yaml_paths import Document, YamlProblem, path_text, read_yaml

__all__ = ["KINDS", "Loader", "model_of"]

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

# kind -> module and class of its model, imported when the first file of that kind is read.
KINDS: dict[str, tuple[str, str]] = {
    "line": ("plant_models.config", "LineConfig"),
    "material": ("plant_models.config", "MaterialConfig"),
    "product": ("plant_models.config", "ProductConfig"),
    "product_set": ("controller.products_config", "ProductSetConfig"),
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
    "product_set": {("line",): "line", ("product",): "product"},
    "controller": {("line",): "line", ("link", "tagmap"): "tagmap", ("security",): "security"},
    "scenario": {("line",): "line"},
    "tagmap": {("line",): "line"},
}

# kind -> its list of references: where it is, the field in each entry if they have any, the kind.
_LISTED: dict[str, tuple[str, str | None, str]] = {
    "line": ("feeders", "material", "material"),
    "product_set": ("controllers", None, "controller"),
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
    _sets: dict[Path, ProductSet] = field(default_factory=dict)

    def read(self, file: Path, wanted: str | None = None) -> _Loaded | None:
        """Read one file with what it refers to; ``None`` when it is not usable."""
        key = file.resolve()
        if key not in self._seen:
            self._seen[key] = None
            self._open.add(key)
            found = self._read(file)
            self._open.discard(key)
            self._seen[key] = found if found is not None and self._fits(file, found) else None
            if found is not None and found.kind == "controller":
                self._bind(file, found)
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

    def product_set(self, file: Path) -> ProductSet | None:
        """Read a product set and join it with everything that it refers to."""
        read = self.read(file, "product_set")
        return self._sets.get(file.resolve()) if read is not None else None

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
        if kind in _LISTED:
            name, inside, listed = _LISTED[kind]
            tail = () if inside is None else (inside,)
            targets |= {(name, i, *tail): listed for i in range(len(document.data[name]))}
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
        if isinstance(model, ProductSetConfig):
            findings = self._join_set(file, model, places)
        elif isinstance(model, LineConfig):
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

    def _bind(self, file: Path, loaded: _Loaded) -> None:
        """Check a controller against the set that it names, unless that set is asking."""
        text = getattr(loaded.model, "product_set", None)
        if text is None:
            return
        target = _beside(file, text)
        if any(_same(target, other) for other in self._open):
            return
        if self._refer(file, loaded.document, ("product_set",), text, "product_set"):
            made = self._sets[target.resolve()]
            for finding in check_bound(cast(Any, loaded.model), made):
                self._add(file, loaded.document, finding.path, finding.wrong, finding.right)

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

    def _join_set(
        self, file: Path, config: ProductSetConfig, places: dict[str, tuple[Path, Document]]
    ) -> list[Finding]:
        line_file, product_file = _beside(file, config.line), _beside(file, config.product)
        base = self._lines[line_file.resolve()]
        product = cast(ProductConfig, self._model(product_file))
        blend_file = _beside(product_file, product.blend)
        if base is None:
            raise AssertionError("only called once everything referred to is usable")
        for name, path in (("line", line_file), ("product", product_file), ("blend", blend_file)):
            if (loaded := self._seen[path.resolve()]) is not None:
                places[name] = (path, loaded.document)
        named = []
        for i, reference in enumerate(config.controllers):
            target = _beside(file, reference)
            model = cast(Any, self._model(target))
            named.append(Named(index=i, config=model, line=_beside(target, model.line)))
        blend = cast(MaterialConfig, self._model(blend_file))
        line = replace(base, product=product, blend=blend)
        made, findings = join_set(config, line, line_file, named)
        if not findings:
            self._sets[file.resolve()] = made
        return findings


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, ValueError):
        return False


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
