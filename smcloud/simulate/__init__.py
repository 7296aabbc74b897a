"""A simulated Earth and its native files."""
