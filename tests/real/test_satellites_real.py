"""Real ESA CCI and C3S files, and the land cells of SMAP's 36 km grid."""

from contextlib import closing
from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.grids.grid import EASE2_36KM, GLOBAL025
from smcloud.grids.tiles import TileYear
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.sources.cci import CCI_ACTIVE, CCI_COMBINED, CCI_PASSIVE
from smcloud.sources.quality import CCI_FLAG, decode_bits

pytestmark = pytest.mark.real
READERS = {"ACTIVE": CCI_ACTIVE, "PASSIVE": CCI_PASSIVE, "COMBINED": CCI_COMBINED}
KNOWN_CELLS = {
    "cci/C3S*ACTIVE*20140101*": (CCI_ACTIVE, 67_717),
    "cci/C3S*COMBINED*20140101*": (CCI_COMBINED, 70_011),
    "cci/C3S*COMBINED*20140102*": (CCI_COMBINED, 71_957),
    "cci/C3S*COMBINED*20170701*": (CCI_COMBINED, 146_550),
    "cci/C3S*PASSIVE*20140101*": (CCI_PASSIVE, 51_786),
    "cci/C3S*PASSIVE*20170701*": (CCI_PASSIVE, 100_581),
    "cci/ESACCI*PASSIVE*20161227*": (CCI_PASSIVE, 59_125),
    "cci/ESACCI*PASSIVE*20161231*": (CCI_PASSIVE, 52_890),
}


def globe(source, path, quality=""):
    """Return the one day of a file on the whole grid."""
    with closing(source.read(path, quality=quality)) as dataset:
        day = dataset["time"].values[0].astype("datetime64[Y]").astype(int) + 1970
        found = source.steps([dataset], TileYear("global025", "globe", int(day)))
        assert found.sizes["time"] == 1
        return found["soil_moisture"].values[0]


@pytest.mark.parametrize("pattern", sorted(KNOWN_CELLS))
def test_every_known_value_of_these_versions_is_recommended(pattern, real_file):
    """The makers leave out what they flag: each rule keeps the cells that the file knows."""
    source, cells = KNOWN_CELLS[pattern]
    path = real_file(pattern)
    for rule in source.quality_rules:
        assert int(np.isfinite(globe(source, path, rule)).sum()) == cells


def test_every_file_has_the_layout_that_the_reader_asks_for(realdata):
    """0.25 degree, latitude descending, fills of -9999 and 127; found apart from the reader."""
    paths = sorted((realdata / "cci").glob("*.nc"))
    assert len(paths) == 11
    for path in paths:
        with h5py.File(path) as file:
            np.testing.assert_allclose(file["lat"][:], 89.875 - 0.25 * np.arange(720), atol=1e-4)
            np.testing.assert_allclose(file["lon"][:], -179.875 + 0.25 * np.arange(1440), atol=1e-4)
            assert (file["sm"].shape, file["flag"].dtype) == ((1, 720, 1440), np.int8)
            fills = file["sm"].attrs["_FillValue"][0], file["flag"].attrs["_FillValue"][0]
            assert fills == (-9999.0, 127)


def test_the_files_of_esa_cci_are_five_days_in_a_row(realdata):
    found = [CCI_PASSIVE.identify(path.name) for path in sorted((realdata / "cci").glob("ESACCI*"))]
    assert [granule.start for granule in found] == [date(2016, 12, day) for day in range(27, 32)]
    assert {granule.produced for granule in found} == {"fv04.2"}


def test_values_are_those_of_the_file_north_up(real_file):
    path = real_file("cci/C3S*COMBINED*20140101*")
    found = globe(CCI_COMBINED, path)
    with h5py.File(path) as file:
        stored = file["sm"][0]
        assert file["lat"][0] == GLOBAL025.y[0]
    known = stored != -9999.0
    np.testing.assert_array_equal(found[known], stored[known])
    assert np.isnan(found[~known]).all()
    assert np.isnan(found[-100:]).all()  # Antarctica is south of these rows


def test_passive_reaches_098_and_active_is_in_percent(real_file):
    passive = globe(CCI_PASSIVE, real_file("cci/ESACCI*PASSIVE*20161228*"))
    assert np.nanmax(passive) == np.float32(0.9856867)
    active = globe(CCI_ACTIVE, real_file("cci/C3S*ACTIVE*20140101*"))
    assert np.nanmax(active) == np.float32(99.98032)


def test_the_smallest_values_survive_the_packing_as_zero(real_file):
    values = globe(CCI_PASSIVE, real_file("cci/C3S*PASSIVE*20140101*"))
    variable = CCI_PASSIVE.schema.variables[0]
    back = variable.unpack(variable.pack(values))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    assert 0.0 < np.nanmin(values) < 1e-12
    assert np.nanmin(back) == 0.0


def test_flags_combine_bits_of_the_table(real_file):
    with closing(CCI_COMBINED.read(real_file("cci/C3S*COMBINED*20170701*"))) as dataset:
        word = dataset["flag"].values[0]
    field = decode_bits(word, CCI_FLAG)
    observed = word != 127
    assert int(observed.sum()) == GLOBAL025.rows * GLOBAL025.cols - 821_153
    assert int((field["snow_or_frozen"][observed]).sum()) == 1319 + 29 + 261 + 3
    assert int((field["beyond_physical_boundary"][observed]).sum()) == 791
    assert int((field["all_unreliable"][observed]).sum()) == 23_843 + 131
    assert not field["barren_ground"][observed].any()


def test_an_active_file_is_no_passive_one(real_file, tmp_path):
    path = real_file("cci/C3S*ACTIVE*20140101*")
    disguised = tmp_path / path.name.replace("SSMS-ACTIVE", "SSMV-PASSIVE")
    disguised.symlink_to(path)
    with pytest.raises(GranuleError, match="expected the product PASSIVE, found ACTIVE"):
        CCI_PASSIVE.read(disguised)


def test_a_folder_of_all_files_is_sorted_out_by_name(realdata):
    url = str(realdata / "cci")
    listing = list_bucket(url)
    found = {name: index_granules(one, url, listing) for name, one in READERS.items()}
    assert {name: len(index.granules) for name, index in found.items()} == {
        "ACTIVE": 1, "PASSIVE": 7, "COMBINED": 3,
    }  # fmt: skip
    assert all(not index.duplicates for index in found.values())


def test_five_days_of_esa_cci_become_a_cube_at_a_station(realdata, tmp_path):
    """Austin, Texas: the cell of the cube is the cell of the files, day by day."""
    place = (-97.74, 30.27)
    request = IngestRequest(
        "cci_passive", str(realdata / "cci"), str(tmp_path), (), (2016,), points=(place,)
    )
    summary = ingest_sources([request], None, Silent())[0]
    assert (summary.granules_read, summary.damaged) == (5, ())
    cube = open_cube(str(tmp_path / "cubes/cci_passive/2016.zarr"), CCI_PASSIVE.schema, 2016)
    row, col = (int(index) for index in GLOBAL025.pixel_of(*place))
    cell = type(GLOBAL025.window)(row, row + 1, col, col + 1)
    stored = cube.read_physical("soil_moisture", slice(361, 366), cell).ravel()
    expected = [
        globe(CCI_PASSIVE, path)[row, col] for path in sorted((realdata / "cci").glob("ESACCI*"))
    ]
    np.testing.assert_allclose(stored, expected, atol=5e-5)
    assert np.isfinite(stored).sum() >= 2


def test_the_land_cells_of_smap_lie_in_the_cells_of_our_grid(real_file):
    """Grid point indices of the smap_io package count row by row from the south-west."""
    with h5py.File(real_file("smap/ease36land.nc")) as file:
        lon, lat, index = file["lon"][:], file["lat"][:], file["gpi"][:]
    assert len(index) == 103_902
    row, col = EASE2_36KM.pixel_of(lon, lat)
    from_south = EASE2_36KM.rows - 1 - row
    np.testing.assert_array_equal(from_south * EASE2_36KM.cols + col, index)
    centres = EASE2_36KM.lonlat(EASE2_36KM.window)
    np.testing.assert_allclose(centres[0][row, col], lon, atol=1e-4)
    np.testing.assert_allclose(centres[1][row, col], lat, atol=1e-4)
