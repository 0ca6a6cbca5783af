"""The PLC of the stand-in: regulatory loops, sequences, modes and the handshake, as pure functions.

Each module owns one job and works on one part of `state.PlcState`; `scan.scan` calls them in order
once per plant second. Nothing here reads a clock, draws a random number or knows of OPC UA.
"""
