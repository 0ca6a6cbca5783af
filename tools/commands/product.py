"""``twinline product``: hashes of product sets, their limits, what differs between two, changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from controller.products.canonical import leaves
from controller.products.limits import mv_limits
from controller.products.sets import ProductSet
from plant_models.signal_list import signal_table
from tools.commands.product_desk import add_commands
from tools.config_errors import ConfigError
from tools.configuration import load_product_set

__all__ = ["product"]

BAD_INPUT, DIFFERENT = 2, 1

product = typer.Typer(
    name="product",
    help="Product sets: hash, limits, differences; load, shadow, promote.",
    no_args_is_help=True,
)
add_commands(product)

File = Annotated[Path, typer.Argument(help="A product set.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON on standard output.")]


def _load(console: Console, file: Path) -> ProductSet:
    try:
        return load_product_set(file)
    except ConfigError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


def _facts(made: ProductSet) -> dict[str, Any]:
    return {
        "name": made.config.name,
        "version": made.config.version,
        "status": made.config.status,
        "hash": made.hash,
        "recipe_id": made.recipe_id,
        "line": made.line.digest(),
        "signals": signal_table(made.line.line).model_version(),
        "tooling": made.config.tooling,
        "calibrations": dict(made.config.calibrations),
        "tuning": dict(made.tuning),
    }


@product.command("hash")
def show_hash(file: File, as_json: AsJson = False) -> None:
    """Say what the PLC must show as RECIPE_ID, and which parts the hash is over."""
    console = Console(highlight=False)
    facts = _facts(_load(console, file))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, value in facts.items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        console.print(f"{name:12} {shown}", markup=False, soft_wrap=True)


@product.command("check")
def show_limits(file: File) -> None:
    """Check a set with all that it refers to, and show the range of every MV and who binds."""
    console = Console(highlight=False)
    made = _load(console, file)
    table = signal_table(made.line.line)
    limits = mv_limits(table, product=made)
    shown = Table(box=None, pad_edge=False)
    for heading in ("MV", "unit", "line", "filed", "normal", "allowed", "bound by"):
        shown.add_column(heading, overflow="fold")
    for spec in table.manipulated:
        found = limits.ranges[spec.tag]
        shown.add_row(
            spec.tag,
            spec.unit,
            _range((spec.lo, spec.hi)),
            _range(made.filed.get(spec.tag)),
            _range(made.normal.get(spec.tag)),
            _range((found.lo, found.hi)),
            found.who,
        )
    console.print(shown)
    console.print(f"{made.label} is {made.config.status} and valid", style="bold green")


def _range(found: tuple[float | None, float | None] | None) -> str:
    return "" if found is None else f"{found[0]:g}..{found[1]:g}"


@product.command("compare")
def compare(
    file: File,
    other: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show everything in which two sets differ. Exit status 0 if nothing does, else 1."""
    console = Console(highlight=False)
    first, second = _load(console, file), _load(console, other)
    one, two = dict(leaves(first.content)), dict(leaves(second.content))
    changed = [
        (path, one.get(path), two.get(path))
        for path in sorted(one.keys() | two.keys())
        if path not in one or path not in two or one[path] != two[path]
    ]
    if as_json:
        rows = [{"path": path, "first": a, "second": b} for path, a, b in changed]
        typer.echo(json.dumps({"hashes": [first.hash, second.hash], "changed": rows}, indent=2))
    else:
        shown = Table(box=None, pad_edge=False)
        for heading in ("what", first.label, second.label):
            shown.add_column(heading, overflow="fold")
        for path, a, b in changed:
            shown.add_row(path, _value(a), _value(b))
        console.print(shown)
        console.print(f"{len(changed)} differences" if changed else "no difference")
    if changed:
        raise typer.Exit(DIFFERENT)


def _value(value: Any) -> str:
    return "" if value is None else str(value)
