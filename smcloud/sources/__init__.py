"""Readers of native files."""
