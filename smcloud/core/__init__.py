"""Errors, configuration, object storage."""
