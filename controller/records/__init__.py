"""Evidence: every cycle whole, and the replay that proves it."""
