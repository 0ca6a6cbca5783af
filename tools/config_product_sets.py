"""Product sets: joined from their files, and checked against line, product and controllers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.config import ControllerConfig
from controller.products.canonical import digest
from controller.products.limits import mv_limits
from controller.products.sets import ProductSet, make_product_set, tuning_of
from controller.products_config import ProductSetConfig
from plant_models.config import REQUIRED_MANIPULATED, ZoneConfig
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.config_checks import check_line
from tools.config_finding import Finding

__all__ = ["Named", "check_bound", "join_set", "unbound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A controller that a set names: its place in the list, its settings, the file of its line."""

    index: int
    config: ControllerConfig
    line: Path


def join_set(
    config: ProductSetConfig, line: ResolvedLine, line_file: Path, controllers: Sequence[Named]
) -> tuple[ProductSet, list[Finding]]:
    """The resolved set, and everything in which its files contradict each other.

    Parameters
    ----------
    config
        What the set's own file says.
    line
        Its line with its product, blend and components.
    line_file
        File of the line.
    controllers
        Those that it names.
    """
    found = [*_controllers(line_file, controllers), *_settings(config)]
    made = make_product_set(config, line, [c.config for c in controllers])
    if not found:
        found = [_here(config, made.line, f) for f in check_line(made.line)]
    if not found:
        found = list(_ranges(made))
    return made, found


def _finding(path: tuple[str | int, ...], wrong: str, right: str) -> Finding:
    return Finding(owner="product_set", path=path, wrong=wrong, right=right)


def _controllers(line_file: Path, controllers: Sequence[Named]) -> Iterator[Finding]:
    names: set[str] = set()
    for c in controllers:
        path = ("controllers", c.index)
        if c.line.resolve() != line_file.resolve():
            yield _finding(
                path,
                f"{c.config.name!r} controls {c.line.name}, the set is for {line_file.name}",
                f"a controller of {line_file.name}",
            )
        if c.config.name in names:
            yield _finding(path, f"{c.config.name!r} is named twice", "controllers of other names")
        names.add(c.config.name)


def _settings(config: ProductSetConfig) -> Iterator[Finding]:
    choices = ", ".join(REQUIRED_MANIPULATED)
    tags: set[str] = set()
    for i, mv in enumerate(config.manipulated):
        path = ("manipulated", i, "tag")
        if mv.tag not in REQUIRED_MANIPULATED:
            yield _finding(path, f"the line has no MV {mv.tag!r}", f"one of {choices}")
        if mv.tag in tags:
            yield _finding(path, f"{mv.tag!r} occurs twice", "one entry per MV")
        tags.add(mv.tag)
    for name in ("filed", "normal"):
        for tag in getattr(config, name):
            if tag not in REQUIRED_MANIPULATED:
                yield _finding((name, tag), f"the line has no MV {tag!r}", f"one of {choices}")
    for tag, zone in config.normal.items():
        filed = config.filed.get(tag)
        if filed is None:
            if tag in REQUIRED_MANIPULATED:
                yield _finding(
                    ("normal", tag),
                    f"{tag} has a normal range but no filed one",
                    "an entry under 'filed' too",
                )
        elif zone.lo < filed.lo or zone.hi > filed.hi:
            yield _finding(
                ("normal", tag),
                f"{_text(zone)} is not within the filed range {_text(filed)} of {tag}",
                f"a range within {_text(filed)}",
            )


def _text(zone: ZoneConfig) -> str:
    return f"{zone.lo:g}..{zone.hi:g}"


def _here(config: ProductSetConfig, line: ResolvedLine, finding: Finding) -> Finding:
    """A finding about the line, placed in the set: with its own product the line is right."""
    path = finding.path
    if finding.owner != "line":
        return finding
    if path[:1] == ("press",) and config.press is not None:
        return replace(finding, owner="product_set")
    if path[:1] != ("manipulated",) or len(path) < 2:
        return replace(finding, owner="product_set", path=("line",))
    tags = [mv.tag for mv in config.manipulated]
    tag = line.line.manipulated[int(path[1])].tag
    if tag in tags:
        path = ("manipulated", tags.index(tag), *path[2:])
        return replace(finding, owner="product_set", path=path)
    right = f"{finding.right}; with an entry for {tag} under 'manipulated'"
    return replace(finding, owner="product_set", path=("line",), right=right)


def _ranges(made: ProductSet) -> Iterator[Finding]:
    """Whether every MV can be moved about its nominal value."""
    table = signal_table(made.line.line)
    limits = mv_limits(table, product=made)
    for tag, text in limits.conflicts.items():
        name = "normal" if tag in made.config.normal else "filed"
        yield _finding((name, tag), text.partition(": ")[2], "ranges that overlap the line's")
    for spec in table.manipulated:
        found = limits.ranges.get(spec.tag)
        if found is not None and not found.lo <= spec.nominal <= found.hi:
            side = found.lo_by if spec.nominal < found.lo else found.hi_by
            name = "filed" if side == "filed" else "normal"
            yield _finding(
                (name, spec.tag),
                f"the nominal {spec.nominal:g} {spec.unit} of {spec.tag} lies outside "
                f"{found.lo:g}..{found.hi:g}",
                f"a range that holds {spec.nominal:g} {spec.unit}, or another nominal value",
            )


def unbound(controller: ControllerConfig, made: ProductSet) -> str:
    """Why ``controller`` may not run with the set, or nothing."""
    if controller.name not in made.tuning:
        return (
            f"the product set {made.config.name!r} does not hold the tuning of "
            f"{controller.name!r}; it has {', '.join(made.tuning)}"
        )
    if made.tuning[controller.name] != digest(tuning_of(controller)):
        return f"{controller.name!r} is tuned otherwise in the product set {made.config.name!r}"
    return ""


def check_bound(controller: ControllerConfig, made: ProductSet) -> list[Finding]:
    """In what a controller contradicts the set that it names."""
    wrong = unbound(controller, made)
    if not wrong:
        return []
    return [
        Finding(
            owner="controller",
            path=("product_set",),
            wrong=wrong,
            right="this file in the set's 'controllers', under a new version; or another set",
        )
    ]
