"""What stands in for the line: truth model, instruments, PLC, faults and OPC UA server."""
