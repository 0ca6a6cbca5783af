"""Alarms (ISA-18.2): a list as data, a pure engine, statistics; conditions come from the cycle."""
