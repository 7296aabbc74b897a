"""Learners and their cards."""
