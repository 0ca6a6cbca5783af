"""Section of the report on supervision: modes in order, transfers, alarms of each run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["supervision_section"]


def supervision_section(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """HTML of the accounts in ``scores``; nothing if there are none."""
    parts = [
        f"<h2>Supervision<small>{escape(name)}</small></h2>{_account(run['supervision'])}"
        for name, run in scores.items()
        if "supervision" in run
    ]
    return "".join(parts)


def _account(document: Mapping[str, Any]) -> str:
    modes = (
        (_min(s["begin"]), _min(s["end"]), s["state"], s["state"].startswith("SHED"))
        for s in document["timeline"]
    )
    bumps = (
        (
            _min(t["second"]),
            ", ".join(tag.rpartition("/")[2] for tag in t["tags"]),
            f"{t['first']:.2f}",
            f"{t['bump']:.2f}",
            t["bump"] > 1.0 + 1e-6,
        )
        for t in document["transfers"]
    )
    alarms = (
        (
            _min(e["second"]),
            "alert" if e["alert"] else e["priority"],
            e["text"] + (" (first)" if e["first_out"] else ""),
            e["kind"],
            e["annunciated"],
        )
        for e in document["alarms"]
    )
    return (
        '<div class="two"><section><div class="panel">'
        f"{_table(('from, min', 'to', 'mode'), modes)}</div></section>"
        '<section><div class="panel">'
        f"{_table(('at, min', 'set points', 'first move', 'largest in a minute'), bumps)}"
        '<p class="glossary">Moves over the rate step of a control cycle.</p></div></section></div>'
        f'<div class="panel">{_table(("at, min", "priority", "alarm", ""), alarms)}</div>'
    )


def _min(second: float) -> str:
    return f"{second / 60.0:.2f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; the last entry of a row marks it."""
    head = "".join(f'<th style="text-align:left">{escape(h)}</th>' for h in headings)
    body = ""
    for *cells, marked in rows:
        css = ' class="alarm"' if marked else ""
        text = "".join(f"<td>{escape(str(c))}</td>" for c in cells)
        body += f"<tr{css}>{text}</tr>"
    if not body:
        body = f'<tr><td colspan="{len(headings)}">none</td></tr>'
    return f'<table class="events"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
