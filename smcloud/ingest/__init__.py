"""Granules and station archives to cubes and tables."""
