"""``twinline check``: validates configurations and says what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.config_errors import Problem
from tools.configuration import Loader

__all__ = ["check", "configuration_files"]

SUFFIXES = (".yaml", ".yml")
BAD_INPUT = 2


def configuration_files(paths: list[Path]) -> tuple[list[Path], list[Problem]]:
    """Files named, and those below the folders named (hidden ones left out), sorted.

    A path that does not exist, or a folder without any configuration, is a problem.
    """
    files: dict[Path, None] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            below = sorted(
                p
                for p in path.rglob("*")
                if p.suffix in SUFFIXES
                and p.is_file()
                and not any(part.startswith(".") for part in p.relative_to(path).parts)
            )
            files.update(dict.fromkeys(below))
            if not below:
                problems.append(
                    Problem(
                        file=path,
                        where="(folder)",
                        wrong="no configuration was found",
                        right="a folder with *.yaml files in it or below it",
                    )
                )
        else:
            files[path] = None
    return list(files), problems


def _show_problem(console: Console, problem: Problem) -> None:
    place = problem.where + ("" if problem.line is None else f"  (line {problem.line})")
    for label, text, style in (
        ("error", str(problem.file), "bold red"),
        ("at", place, "bold"),
        ("wrong", problem.wrong, ""),
        ("right", problem.right, "green"),
    ):
        console.print(Text(f"{label:<6}", style="dim") + Text(text, style=style), soft_wrap=True)
    console.print()


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files, or folders with all below them.", show_default=False),
    ],
) -> None:
    """Validate configurations: exit status 0 when all are good, else 2.

    Each error names the file, the place in the document with its line, what is wrong and what
    would be right. Files that a configuration refers to are checked with it.
    """
    console = Console(highlight=False)
    files, problems = configuration_files(paths)
    loader = Loader(problems=problems)
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "kind", "name"):
        table.add_column(heading, overflow="fold")
    for file in files:
        loaded = loader.read(file)
        if loaded is not None:
            table.add_row(
                Text(str(file)), loaded.kind, Text(str(getattr(loaded.model, "name", "")))
            )
    for problem in loader.problems:
        _show_problem(console, problem)
    count = len(loader.problems)
    checked = f"{len(files)} configuration" + ("s" if len(files) != 1 else "")
    if count:
        errors = f"{count} error" + ("s" if count != 1 else "")
        console.print(f"{errors} in {checked}", style="bold red")
        raise typer.Exit(BAD_INPUT)
    console.print(table)
    console.print(f"{checked} valid", style="bold green")
