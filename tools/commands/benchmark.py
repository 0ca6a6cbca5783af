"""``twinline benchmark``: measures what the project claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tools.benchmarks import REGISTRY

__all__ = ["benchmark"]

BAD_INPUT = 2


def benchmark(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Benchmarks to run; all without any.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None,
) -> None:
    """Run benchmarks, one after the other, and print what was reached.

    Goals that are not met are shown as such; the exit status is 0 when everything ran, 2 for an
    unknown name or a file that a benchmark needs and does not find.
    """
    console = Console(highlight=False)
    wanted = names if names else list(REGISTRY)
    unknown = [name for name in wanted if name not in REGISTRY]
    if unknown:
        console.print(f"unknown: {', '.join(unknown)}; there are: {', '.join(REGISTRY)}")
        raise typer.Exit(BAD_INPUT)
    if json_file is not None and not json_file.parent.is_dir():
        console.print(f"the folder of {json_file} does not exist")
        raise typer.Exit(BAD_INPUT)
    results: dict[str, Any] = {}
    for name in wanted:
        try:
            results |= REGISTRY[name](console)
        except FileNotFoundError as error:
            console.print(f"{name}: {error}")
            raise typer.Exit(BAD_INPUT) from error
        if json_file is not None:
            json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
