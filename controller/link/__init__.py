"""OPC UA: client of the plant, and the controller's own server for operators."""
