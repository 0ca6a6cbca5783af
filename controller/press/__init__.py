"""The press alone, from its recorded signals: soft sensor, reply of its loop, forecast."""
