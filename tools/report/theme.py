"""Looks of the page: calm greys, colour for the abnormal and to tell runs apart.

After ISA-101: nothing blinks, shape and text say what colour says.
"""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "GROUNDS", "LAYOUT", "LINES", "SMALL", "STYLE"]

COLOURS = {
    "page": "#e3e5e7",
    "panel": "#f2f3f4",
    "field": "#fafafa",
    "before": "#eceef0",
    "ink": "#24292e",
    "soft": "#5c646b",
    "rule": "#c5cacd",
    "grid": "#e4e6e8",
    "nmpc": "#1d4f8c",
    "lmpc": "#4f8c6d",
    "pid": "#b3701a",
    "plc": "#8b9299",
    "ci": "rgba(29,79,140,.16)",
    "bad": "#b3261e",
    "warn": "#d8a11e",
}
LINES: dict[str, dict[str, Any]] = {
    "nmpc": {"color": COLOURS["nmpc"], "width": 1.6},
    "lmpc": {"color": COLOURS["lmpc"], "width": 1.3},
    "pid": {"color": COLOURS["pid"], "width": 1.3},
    "plc": {"color": COLOURS["plc"], "width": 1.3},
    "truth": {"color": COLOURS["ink"], "width": 1.0},
    "sp": {"color": COLOURS["ink"], "width": 1.0, "dash": "2px,2px"},
    "lab": {"color": COLOURS["ink"], "width": 1.1},
    "limit": {"color": "#6d747a", "width": 1.0, "dash": "6px,3px"},
    "event": {"color": "#9aa1a7", "width": 1.0, "dash": "1.5px,3px"},
}
# States: ground and letters.
GROUNDS = {
    "s0": ("#fff", COLOURS["ink"]),
    "s1": ("#d9dcdf", COLOURS["ink"]),
    "s2": ("#b9bfc4", COLOURS["ink"]),
    "s3": ("#7f878e", "#fff"),
    "warn": (COLOURS["warn"], COLOURS["ink"]),
    "bad": (COLOURS["bad"], "#fff"),
}
_FONT = 'system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif'
SMALL = {"size": 10.5, "color": COLOURS["soft"]}
_AXIS = {
    "tickfont": SMALL,
    "gridcolor": COLOURS["grid"],
    "zeroline": False,
    "ticks": "outside",
    "ticklen": 3,
}
LAYOUT: dict[str, Any] = {
    "template": {
        "layout": {
            "xaxis": {**_AXIS, "spikemode": "across", "spikethickness": -1.5},
            "yaxis": {**_AXIS, "ticks": ""},
        }
    },
    "paper_bgcolor": COLOURS["panel"],
    "plot_bgcolor": COLOURS["field"],
    "font": {"family": _FONT, "size": 12, "color": COLOURS["ink"]},
    "hovermode": "x unified",
    "hoverlabel": {
        "bgcolor": "rgba(250,250,250,.92)",
        "bordercolor": COLOURS["rule"],
        "font": {"size": 11},
    },
    "legend": {
        "orientation": "h",
        "x": 0.0,
        "xanchor": "left",
        "yanchor": "bottom",
        "traceorder": "reversed",
        "bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": COLOURS["soft"]},
    },
    "modebar": {
        "bgcolor": "rgba(0,0,0,0)",
        "color": COLOURS["rule"],
        "activecolor": COLOURS["soft"],
    },
}

STYLE = (
    f":root{{{';'.join(f'--{name}:{colour}' for name, colour in COLOURS.items())}}}"
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:14px/1.45 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif}
main{max-width:1220px;margin:0 auto;padding:20px 20px 60px}
header h1{font-size:21px;margin:0;font-weight:600}
header p{margin:4px 0 0;color:var(--soft);max-width:78ch}
h2{font-size:15px;margin:28px 0 8px;font-weight:600}
h2 small{font-weight:400;color:var(--soft);margin-left:8px;font-size:13px}
.panel{background:var(--panel);border:1px solid var(--rule);border-radius:4px;padding:12px 14px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:6px 18px;
margin-top:14px}
.facts div{font-variant-numeric:tabular-nums}
.facts span{display:block;color:var(--soft);font-size:12px}
.facts code{font:12px ui-monospace,Consolas,monospace}
.plot{padding:8px 8px 4px;overflow-x:auto}
.wide{min-width:760px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}
th{font-weight:600;text-align:right;border-bottom:1px solid var(--ink);padding:3px 10px}
td{text-align:right;padding:2px 10px;border-bottom:1px solid var(--grid)}
th:first-child,td:first-child,.unit-cell{text-align:left}
.unit-cell,.who{color:var(--soft)}
.group td{font-weight:600;padding-top:9px;border-bottom:1px solid var(--rule)}
.short td:last-child{white-space:nowrap}
.missed{color:var(--bad);font-weight:600}
.below{margin-top:10px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:10px;align-items:start}
@media(max-width:980px){.two{grid-template-columns:1fr}}
.events td{text-align:left;vertical-align:top}
.events .t{white-space:nowrap}
.events .alarm td{color:var(--bad)}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--soft);font-size:12.5px;margin:10px 0 8px}
.key i{display:inline-block;width:22px;height:0;border-top:2px solid;margin-right:6px;
vertical-align:middle}
.key b{display:inline-block;width:14px;height:11px;margin-right:6px;vertical-align:-1px;
border:1px solid rgba(0,0,0,.15)}
.glossary{color:var(--soft);font-size:12.5px;max-width:105ch}
@media print{body{background:#fff}.panel{break-inside:avoid}}
"""
)
