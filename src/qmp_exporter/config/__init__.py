"""Settings: what can be set, and where it comes from."""
