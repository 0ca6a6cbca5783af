"""``python -m tools`` is ``twinline``; child processes are started this way."""

from tools.cli import app

app()
