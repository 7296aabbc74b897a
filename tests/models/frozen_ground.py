"""A hard small table of frozen ground: noise in the labels, causes nobody sees, few frozen rows."""

import numpy as np
import pandas as pd

FEATURES = ("tb_18v", "tb_18h", "tb_36v", "tb_36h", "elevation", "soil_temperature", "air")
GLDAS = ("soil_temperature", "air")
DAYS = np.concatenate(
    [
        np.arange(f"{year}-01-01", f"{year}-12-30", 11, dtype="datetime64[D]")
        for year in (2014, 2015)
    ]
)
CELLS = 84


def frozen_table(*, cells: int = CELLS, seed: int = 5, label_noise: float = 0.04) -> pd.DataFrame:
    """Return a row for each cell, day and overpass.

    The ground follows season, elevation, weather of its block and an offset of its own that no
    column knows (snow, permafrost). Brightness temperatures see it through vegetation that differs
    from cell to cell; the reanalysis has errors of its own, alike for a block and a season. Labels
    are wrong at random, and wet snow hides frozen ground in spring.
    """
    rng = np.random.default_rng(seed)
    cell = np.repeat(np.arange(cells), DAYS.size)
    day = np.tile(DAYS, cells)
    row, col = np.divmod(np.arange(cells), 12)
    latitude, longitude = 28.0 + 1.5 * row, 78.0 + 1.5 * col
    height = rng.uniform(500.0, 5400.0, cells)
    block = (row // 2) * 4 + col // 3
    month = (day.astype("datetime64[D]") - day.astype("datetime64[Y]")).astype(int) / 30.4
    weather = rng.normal(0.0, 3.0, (block.max() + 1, DAYS.size))[block].ravel()
    unseen = rng.normal(0.0, 2.5, cells)[cell]
    warmth = 24.0 - 0.0045 * height[cell] - 13.0 * np.cos(2 * np.pi * (month - 0.7) / 12.0)
    soil = warmth + weather + unseen + rng.normal(0.0, 1.0, cell.size)
    share = 1.0 / (1.0 + np.exp(np.clip(soil / 1.2, -40, 40)))
    table = pd.DataFrame({"row": row[cell], "col": col[cell], "time": day.astype("datetime64[s]")})
    table["overpass"] = 0
    table["latitude"], table["longitude"] = latitude[cell], longitude[cell]
    table["elevation"] = height[cell]
    _add_sensors(table, soil, share, cell, rng)
    wrong = rng.normal(0.0, 2.0, (block.max() + 1, 12))[block[cell], month.astype(int) % 12]
    table["soil_temperature"] = 273.15 + soil - unseen + wrong + rng.normal(0.0, 1.5, cell.size)
    table["air"] = table["soil_temperature"] + rng.normal(0.0, 3.0, cell.size)
    label = np.where(share > 0.7, 2, np.where(share > 0.3, 1, 0))
    wet_snow = (label == 2) & (month > 2) & (month < 5) & (rng.random(cell.size) < 0.25)
    label[wet_snow] = 0
    flipped = rng.random(cell.size) < label_noise
    label[flipped] = rng.integers(0, 3, int(flipped.sum()))
    label[rng.random(cell.size) < 0.03] = 255
    return table.assign(label=label.astype(np.uint8))


def _add_sensors(table, soil, share, cell, rng) -> None:
    """Add brightness temperatures, some of them unknown between orbits."""
    n_cells = cell.max() + 1
    plants = rng.uniform(0.0, 0.5, n_cells)[cell]
    for name, dry, contrast in (
        ("tb_18v", 0.95, 0.01),
        ("tb_18h", 0.88, 0.05),
        ("tb_36v", 0.94, -0.02),
        ("tb_36h", 0.89, 0.02),
    ):
        own = rng.normal(0.0, 0.012, n_cells)[cell]
        emissivity = dry + contrast * share * (1 - plants) + own
        table[name] = emissivity * (271.0 + 0.8 * soil) + rng.normal(0.0, 1.0, cell.size)
    missed = rng.random(cell.size) < 0.1
    table.loc[missed, ["tb_18v", "tb_18h", "tb_36v", "tb_36h"]] = np.nan
