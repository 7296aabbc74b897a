"""Scores, splits, collocation and the report."""
