"""Blockwise features and the sample table."""
