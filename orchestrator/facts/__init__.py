"""What is read from a host: one Query a file, all in one round trip."""
