"""Coarse cells and days with noise, gaps and causes that no feature shows: rows to learn from."""

import numpy as np
import pandas as pd

from smcloud.models.families import CellSamples
from smcloud.models.period_fits import groups_of

FEATURES = ("lst_day", "ndvi", "albedo", "lswi", "elevation", "sand", "noise")


def coarse_table(
    n_days: int = 3, seed: int = 0, rows: int = 15, cols: int = 15, start: str = "2019-03-01"
) -> pd.DataFrame:
    """One row a cell and day; clouds leave LST out, swaths the target; not all soils are seen."""
    rng = np.random.default_rng(seed)
    row, col = (part.ravel() for part in np.mgrid[100 : 100 + rows, 700 : 700 + cols])
    place = np.stack([row - 100, col - 700]) / 6.0
    elevation = 800 + 600 * np.sin(place[0]) * np.cos(0.7 * place[1])
    sand = 45 + 20 * np.cos(place[0] + place[1])
    unseen = 0.02 * np.sin(2.3 * place[0] + 1.1) * np.sin(1.7 * place[1])
    parts = []
    for number in range(n_days):
        wet = np.sin(place[0] + 0.5 * number) * np.cos(place[1] - 0.3 * number)
        ndvi = 0.3 + 0.2 * np.tanh(wet) + 0.05 * rng.normal(size=row.size)
        truth = 0.18 + 0.06 * wet - 0.0008 * (sand - 45) + unseen
        lst = 300 - 25 * (truth - 0.18) / 0.1 * (0.4 + ndvi) + rng.normal(0, 1.0, row.size)
        columns = {
            "row": row.astype(np.int32),
            "col": col.astype(np.int32),
            "latitude": 45 - 0.3 * (row - 100.0),
            "longitude": 80 + 0.4 * (col - 700.0),
            "time": np.datetime64(start, "s") + np.timedelta64(number, "D"),
            "valid_share": np.float32(1),
            "lst_day": lst,
            "ndvi": ndvi,
            "albedo": 0.25 - 0.3 * truth + rng.normal(0, 0.01, row.size),
            "lswi": truth - 0.1 * ndvi + rng.normal(0, 0.03, row.size),
            "elevation": elevation,
            "sand": sand,
            "noise": rng.normal(size=row.size),
            "soil_moisture": truth + rng.normal(0, 0.015, row.size),
        }
        found = pd.DataFrame(columns)
        found.loc[rng.random(row.size) < 0.15, "lst_day"] = np.nan
        found.loc[rng.random(row.size) < 0.10, "soil_moisture"] = np.nan
        parts.append(found)
    whole = pd.concat(parts, ignore_index=True)
    floats = [*FEATURES, "soil_moisture"]
    return whole.astype(dict.fromkeys(floats, np.float32))


def samples_of(table: pd.DataFrame, side: int = 3) -> CellSamples:
    """The samples of a table whose target is known."""
    known = table[table["soil_moisture"].notna()]
    return CellSamples(
        np.ascontiguousarray(known[list(FEATURES)].to_numpy(np.float32)),
        known["soil_moisture"].to_numpy(np.float64),
        groups_of(known["row"].to_numpy(), known["col"].to_numpy(), side),
        known["time"].to_numpy().astype("datetime64[D]").astype(np.int64),
    )
