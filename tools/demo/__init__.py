"""``twinline demo``: plant and controller as two processes, a scripted shift, a table, a report."""
