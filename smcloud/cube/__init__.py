"""Cube schemas and the chunked stores behind them."""
