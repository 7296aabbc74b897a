"""References collocated by a cluster of processes, from cubes as ingest writes them."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.layout import year_store
from smcloud.core.listener import Silent
from smcloud.cube.store import create_store, write_shard
from smcloud.production.references_stage import build_references
from smcloud.products.glass_sm import GLASS_SM
from smcloud.sources.registry import SOURCES

pytestmark = pytest.mark.cluster

PLACES = {"NET/bologna": (44.5, 11.3, "h18v04"), "NET/iasi": (47.2, 27.6, "h19v04")}
DAYS = np.arange(np.datetime64("2019-02-06"), np.datetime64("2019-02-16"))
"""The last days of the first slab, which has 46."""


def value_at(name, day, lat, lon):
    """A number that tells product, day and cell apart, the same anywhere in a cell."""
    schema = SOURCES[name].schema
    row, col = schema.on.pixel_of(lon, lat)
    unit = 100.0 if schema.variables[0].units == "%" else 1.0
    return unit * (0.1 + (day * 31 + int(row) * 7 + int(col) * 3 + len(name)) % 200 * 0.001)


def write_references(config, name):
    """Write the slab of February with the cells of the stations, in one year's store."""
    schema = SOURCES[name].schema
    url = f"{config.cube_prefix(name)}/{year_store(2019)}"
    create_store(url, schema, 2019)
    slab = schema.slabs(2019)[0]
    rows, cols = schema.shards[1:]
    for variable in schema.variables:
        shards = {}
        for lat, lon, _ in PLACES.values():
            row, col = (int(index) for index in schema.on.pixel_of(lon, lat))
            index = (0, row // rows, col // cols)
            values = shards.setdefault(index, np.full((slab.stop, rows, cols), np.nan))
            days = range(slab.stop)
            values[:, row % rows, col % cols] = [value_at(name, day, lat, lon) for day in days]
        for index, values in shards.items():
            write_shard(url, schema, variable.name, index, variable.pack(values))


def sample_rows():
    parts = [
        pd.DataFrame(
            {
                "station": station,
                "network": "NET",
                "latitude": lat,
                "longitude": lon,
                "tile": tile,
                "row": 0,
                "col": 0,
                "time": DAYS.astype("datetime64[ms]"),
                "quality_flag": np.uint8(0),
                "soil_moisture": np.float32(0.2),
            }
        )
        for station, (lat, lon, tile) in PLACES.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_workers_read_the_cells_of_every_product(client, tmp_path):
    config = RunConfig.model_validate(
        {
            "product": "glass-sm",
            "years": [2019],
            "tiles": ["h18v04", "h19v04"],
            "store": {"root": str(tmp_path)},
            "selection": {"use": True, "again": ["cci_passive", "smap_l3"]},
        }
    )
    names = config.selection.sources
    for name in names:
        write_references(config, name)
    table = build_references(config, GLASS_SM, sample_rows(), client, Silent())
    assert len(table) == 20
    for name in names:
        expected = [
            value_at(name, row.time.day_of_year - 1, row.latitude, row.longitude)
            for row in table.itertuples()
        ]
        np.testing.assert_allclose(table[name], expected, rtol=1e-6, atol=6e-5)
