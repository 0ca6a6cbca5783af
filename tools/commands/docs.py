"""``twinline docs``: pages of the documentation that are made from the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tools.docs_supervision import page as supervision_page

__all__ = ["PAGES", "docs"]

BAD_INPUT, STALE = 2, 1

PAGES: dict[str, Callable[[], str]] = {"supervision": supervision_page}


def docs(
    page: Annotated[str, typer.Argument(help=f"One of {', '.join(PAGES)}.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(help="Where to; by default docs/<page>.md.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the file is not current.")
    ] = False,
) -> None:
    """Write a page that is made from the code."""
    if page not in PAGES:
        typer.echo(f"{page!r} is no page; there are {', '.join(PAGES)}", err=True)
        raise typer.Exit(BAD_INPUT)
    target = output if output is not None else Path("docs") / f"{page}.md"
    text = PAGES[page]()
    try:
        if check:
            current = target.is_file() and target.read_text("utf-8") == text
            if not current:
                typer.echo(f"{target} is not current: run `twinline docs {page}`", err=True)
                raise typer.Exit(STALE)
            return
        target.write_text(text, "utf-8")
    except OSError as error:
        typer.echo(f"{target} cannot be written: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(f"written: {target}")
