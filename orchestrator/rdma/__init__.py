"""The fabric measured: what is tested with whom and when, what tools say, what that means. Pure: no I/O here."""
