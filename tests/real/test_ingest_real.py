"""The real MOD11A1 tile through ingest: valid pixels and temperatures as the README states."""

import numpy as np
import pytest

from smcloud.core.errors import NotFoundError
from smcloud.core.listener import Silent
from smcloud.cube.store import create_store, open_cube
from smcloud.grids.tiles import TileYear
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.sources.registry import SOURCES

pytestmark = pytest.mark.real
KEY = TileYear("sin1km", "h14v09", 2019)
DAY, SLAB = 304, 6
"""1 November 2019 (A2019305) is step 304 of the year, in the seventh slab of 46 days."""


@pytest.fixture(scope="module", params=["good", "all"])
def cube(request, realdata, tmp_path_factory):
    pytest.importorskip("pyhdf")
    root = tmp_path_factory.mktemp("cube")
    source, url = SOURCES["mod11a1"], str(realdata)
    index = index_granules(source, url, list_bucket(url))
    tasks = plan_ingest(source, index, str(root), [KEY], quality=request.param)
    create_store(tasks[SLAB].cube_url, source.schema, 2019)
    receipt = ingest_slab(tasks[SLAB])
    assert receipt.granules_read == 1
    return request.param, open_cube(tasks[SLAB].cube_url, source.schema, 2019)


def test_the_cube_holds_the_valid_pixels_of_the_tile(cube):
    """Trap T4: QC 0 is the best quality; a reader that takes it for a fill keeps none of these."""
    quality, store = cube
    day = store.read_physical("lst_day", slice(DAY, DAY + 1), KEY.window)
    known = day[np.isfinite(day)]
    assert known.size == {"good": 251_784, "all": 333_829}[quality]
    assert 291.0 < known.min() < 300.0
    assert 320.0 < known.max() < 326.0


def test_the_days_around_it_stay_unknown(cube):
    _, store = cube
    around = store.read_physical("lst_day", slice(DAY - 1, DAY + 2), KEY.window)
    assert np.isnan(around[[0, 2]]).all()


def test_what_is_there_is_said_when_another_tile_is_wanted(realdata, tmp_path):
    wanted = IngestRequest("mod11a1", str(realdata), str(tmp_path), ("h18v04",), (2019,))
    with pytest.raises(NotFoundError, match="of mod11a1 for h14v09, 2019-11-01"):
        ingest_sources([wanted], None, Silent())
