"""A small study: stations that measure their pixel well or badly, references, and the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.models.samples import TableColumns

FEATURES = ("rain", "heat", "sand", "noise")
COLUMNS = TableColumns(FEATURES, "sm", "station", "day", "lat", "lon", "truth")
GROUPS = {"weather": ("rain", "heat"), "soil": ("sand",)}


@dataclass(frozen=True)
class Study:
    """Rows of stations, the references table, and what is known of each station."""

    rows: pd.DataFrame
    references: pd.DataFrame
    sites: pd.DataFrame
    bad: frozenset[str]


def study(stations: int = 48, years: int = 2, bad_share: float = 0.4, seed: int = 8) -> Study:
    """Return stations of three networks; the bad ones measure another signal than their pixel."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2018-01-01", periods=122 * years, freq="3D")
    networks = [("ONE", "TWO", "THREE")[number % 3] for number in range(stations)]
    names = [f"{network}/s{number:02d}" for number, network in enumerate(networks)]
    is_bad = rng.random(stations) < bad_share
    rows = [_station(rng, name, days, bad) for name, bad in zip(names, is_bad, strict=True)]
    table = pd.concat(rows, ignore_index=True)
    references = table.rename(columns={"day": "time", "sm": "soil_moisture"})
    references = references.rename(columns={"lat": "latitude", "lon": "longitude"})
    n = len(table)
    for name in ("era5land", "smap_l3", "cci_active"):
        references[name] = (table["truth"] + rng.normal(0, 0.03, n)).astype("float32")
    references["network"] = references["station"].str.partition("/")[0]
    first = table.drop_duplicates("station")
    sites = pd.DataFrame(
        {
            "station": first["station"],
            "network": first["station"].str.partition("/")[0],
            "latitude": first["lat"],
            "longitude": first["lon"],
        }
    ).reset_index(drop=True)
    kept = ["station", "network", "latitude", "longitude", "time", "soil_moisture"]
    kept += ["era5land", "smap_l3", "cci_active"]
    bad = frozenset(name for name, one in zip(names, is_bad, strict=True) if one)
    return Study(table, references[kept], sites, bad)


def _station(
    rng: np.random.Generator, name: str, days: pd.DatetimeIndex, bad: bool
) -> pd.DataFrame:
    n = days.size
    rain, heat = rng.gamma(0.6, 4.0, n), rng.normal(290, 8, n)
    sand = rng.uniform(10, 80)
    truth = 0.28 + 0.008 * rain - 0.002 * (heat - 290) - 0.002 * sand
    seen = truth if not bad else 0.2 + rng.normal(0, 0.08, n)
    return pd.DataFrame(
        {
            "station": name,
            "day": days,
            "lat": rng.uniform(40, 48),
            "lon": rng.uniform(0, 10),
            "rain": rain,
            "heat": heat,
            "sand": sand,
            "noise": rng.normal(size=n),
            "truth": truth,
            "sm": np.clip(seen + rng.normal(0, 0.01, n), 0.01, 0.6),
        }
    )
