"""Grids, tiles, land and regridding."""
