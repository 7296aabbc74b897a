"""The simulated MCD43D files: all bands and words of a day, alike for tiles that share cells."""

import numpy as np
import pytest
from pyhdf.SD import SD

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import GLOBAL30S, SIN1KM
from smcloud.grids.tiles import tile_window
from smcloud.simulate.global_albedo import AlbedoPiece, cells_around
from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.request import SimulateRequest, land_pixels
from smcloud.simulate.run import CoarsePiece, _coarse_pieces
from smcloud.simulate.world import Earth

AREA = land_pixels("8x8+700+850", "h18v04")
DAYS = ("2019008", "2019009")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("earth")
    piece = AlbedoPiece(str(out), 7, 2019, (AREA,), ("mcd43d51", "mcd43d58", "mcd43d61"))
    wanted = frozenset(key for key in piece.keys() if any(f".A{day}." in key for day in DAYS))
    done = []
    piece.only(wanted).run(lambda files, size: done.append((files, size)))
    assert len(done) == len(wanted) == 10
    return {path.name[:8]: path for path in out.rglob(f"*.A{DAYS[1]}.*.hdf")}


def layer_of(path, name):
    file = SD(str(path))
    layer = file.select(name)
    cells = cells_around((AREA,))
    part = cells.parts[0]
    values = np.asarray(layer.get((part.row0, part.col0), part.shape))
    known = values[cells.rows - part.row0, cells.cols - part.col0]
    corner = np.asarray(layer.get((0, 0), (4, 4)))
    file.end()
    return known, corner


def test_band_7_is_darker_or_brighter_than_the_broadband_but_near_the_truth(written):
    band7, fill = layer_of(written["MCD43D58"], "Global_BRDF_Albedo_WSA_Band7")
    assert (fill == 32767).all()
    cells = cells_around((AREA,))
    lon, lat = GLOBAL30S.x[cells.cols], GLOBAL30S.y[cells.rows]
    states = list(Earth(7).run(lon, lat, np.arange("2019-01-01", "2019-01-10", dtype="M8[D]")))
    truth = np.mean([state.reflectance[6] for state in states], axis=0)
    known = band7 != 32767
    assert known.any()
    assert abs(float((0.001 * band7[known] - truth[known]).mean())) < 0.06


def test_albedo_is_unknown_where_nothing_was_inverted(written):
    albedo, _ = layer_of(written["MCD43D61"], "Global_BRDF_Albedo_WSA_Shortwave")
    quality, fill = layer_of(written["MCD43D31"], "Global_BRDF_Quality")
    snow, _ = layer_of(written["MCD43D40"], "Global_Snow_Status")
    assert (fill == 255).all()
    np.testing.assert_array_equal(albedo == 32767, quality == 4)
    assert set(np.unique(snow)) <= {0, 1}


def test_the_cells_hold_what_every_pixel_is_interpolated_from():
    cells = cells_around((AREA,))
    home = tile_window(SIN1KM, AREA.tile)
    window = SIN1KM.lonlat(home)
    lon, lat = (axis[AREA.rows, AREA.cols] for axis in window)
    row, col = GLOBAL30S.pixel_of(lon, lat)
    own = set(zip(cells.rows.tolist(), cells.cols.tolist(), strict=True))
    assert set(zip(row.tolist(), col.tolist(), strict=True)) <= own
    assert len(own) > len(AREA.rows)


def test_pixels_beside_180_degrees_take_two_rectangles():
    pixels = TilePixels("h35v08", np.array([1163, 1163]), np.array([1198, 1199]))
    west, east = cells_around((pixels,)).parts
    assert west.col1 == GLOBAL30S.cols
    assert (east.col0, east.col1) == (0, 1)


def test_it_is_a_piece_of_a_request_that_asks_for_it(tmp_path):
    request = SimulateRequest(str(tmp_path), ("h18v04",), (2019,), sources=("mcd43d58",))
    pieces: list[CoarsePiece] = list(_coarse_pieces(request, [AREA], {}))
    assert [type(piece) for piece in pieces] == [AlbedoPiece]
    assert pieces[0].sources == ("mcd43d58",)
    assert len(pieces[0].keys()) == 3 * 365
    with pytest.raises(ConfigError, match="unknown source 'mcd43d60'"):
        SimulateRequest(str(tmp_path), ("h18v04",), (2019,), sources=("mcd43d60",))
