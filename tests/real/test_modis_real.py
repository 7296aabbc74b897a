"""Real MODIS tiles: the facts that their description states."""

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import TileYear
from smcloud.sources.hdf_eos import Layer, Word, open_grid_file, read_grid
from smcloud.sources.modis import MOD09A1, MOD11A1
from smcloud.sources.packing import Coded
from smcloud.sources.quality import MOD09_STATE, MOD11_QC, decode_bits

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def lst(real_file):
    path = real_file("modis/MOD11A1.A2019305.h14v09*.hdf")
    return {rule: MOD11A1.read(path, quality=rule) for rule in MOD11A1.quality_rules}


def test_lst_has_the_known_number_of_valid_pixels_and_range(lst):
    day = lst["all"]["lst_day"].values
    assert int(np.isfinite(day).sum()) == 333_829
    assert np.nanmin(day) == pytest.approx(291.4, abs=0.01)
    assert np.nanmax(day) == pytest.approx(325.72, abs=0.01)
    assert lst["all"]["lst_day"].attrs["units"] == "K"


def test_the_mandatory_bits_are_those_counted_by_hand(lst):
    mandatory = decode_bits(lst["all"]["qc_day"].values, MOD11_QC)["mandatory"]
    assert np.bincount(mandatory.ravel()).tolist() == [251_784, 82_045, 88_946, 1_017_225]


def test_t04_every_real_pixel_of_best_quality_is_kept(lst):
    best = lst["all"]["qc_day"].values == 0
    assert int(best.sum()) == 251_784
    assert np.isfinite(lst["all"]["lst_day"].values[best]).all()
    assert np.isfinite(lst["good"]["lst_day"].values[best]).all()
    assert int(np.isfinite(lst["good"]["lst_day"].values).sum()) == 251_784


def test_the_tile_lies_where_its_corner_says(lst):
    half = SIN1KM.step / 2
    x, y = lst["all"]["x"].values, lst["all"]["y"].values
    assert x[0] - half == pytest.approx(-4447802.079066, abs=1e-3)
    assert y[0] + half == pytest.approx(0.0, abs=1e-3)
    found = MOD11A1.steps([lst["good"]], TileYear("sin1km", "h14v09", 2019))
    np.testing.assert_allclose(found["x"].values, x, atol=1e-3)
    np.testing.assert_allclose(found["y"].values, y, atol=1e-3)
    assert found["time"].values.astype("datetime64[D]").astype(str).tolist() == ["2019-11-01"]


def test_t04_quality_words_that_declare_a_fill_of_zero_are_not_masked(real_file):
    path = real_file("modis/MOD11B2*.hdf")
    with open_grid_file(path) as file:
        quality = file.words(Word("QC_Day", ("uint8",)), (200, 200))
        layer = Layer("LST_Day_6km", ("uint16",), 0.02, 0, (7500, 65535), ("K",))
        temperature = Coded(*file.codes(layer, (200, 200)), layer.fill).physical()
    best = quality == 0
    assert best.any()
    assert np.isfinite(temperature[best]).mean() > 0.5


@pytest.fixture(scope="module")
def reflectance(real_file):
    path = real_file("modis/MOD09A1*.hdf")
    return {rule: MOD09A1.read(path, quality=rule) for rule in MOD09A1.quality_rules}


def test_reflectance_of_a_cut_out_is_read_where_it_lies(reflectance):
    found = reflectance["all"]
    assert found["red"].shape == (73, 66)
    half = float(found["x"][1] - found["x"][0]) / 2
    assert float(found["x"][0]) - half == pytest.approx(753346.477074, abs=0.01)
    assert float(found["y"][0]) + half == pytest.approx(5132114.960978, abs=0.01)
    assert np.isfinite(found["red"].values).all()
    assert 0.0 < float(found["red"].median()) < float(found["nir"].median()) < 0.6


def test_t06_real_clouds_are_masked_by_the_state_word(reflectance):
    state = decode_bits(reflectance["all"]["state"].values, MOD09_STATE)
    clear = np.isin(state["cloud"], (0, 3)) & (state["cloud_shadow"] == 0)
    relaxed = np.isfinite(reflectance["relaxed"]["red"].values)
    np.testing.assert_array_equal(relaxed, clear)
    assert 0 < (~clear).sum() < clear.sum()


def test_days_of_a_real_composite_lie_inside_it(reflectance):
    days = reflectance["all"]["composite_day"].values
    assert set(np.unique(days)) <= set(range(8))
    assert len(np.unique(days)) > 1


def test_a_cut_out_fills_its_part_of_the_tile(reflectance):
    found = MOD09A1.steps([reflectance["all"]], TileYear("sin1km", "h18v04", 2017))
    known = np.isfinite(found["nir"].values[0])
    assert known.shape == (1200, 1200)
    assert 33 * 37 <= int(known.sum()) <= 34 * 37


def test_a_cut_out_packed_at_once_has_the_bits_of_one_that_was_read(real_file, reflectance):
    found = MOD09A1.steps([reflectance["good"]], TileYear("sin1km", "h18v04", 2017))
    variables = MOD09A1.schema.variables
    into = {v.name: np.full((1200, 1200), v.fill_value, v.dtype) for v in variables}
    MOD09A1.pack_into(real_file("modis/MOD09A1*.hdf"), into, quality="good")
    for variable in variables:
        expected = variable.pack(found[variable.name].values[0])
        np.testing.assert_array_equal(into[variable.name], expected)


def test_t05_the_two_scale_conventions_give_the_same_kind_of_reflectance(real_file, reflectance):
    path = real_file("modis/MOD09GA*.hdf")
    layer = Layer("sur_refl_b01_1", ("int16",), 0.0001, -28672, (-100, 16000))
    with open_grid_file(path) as file:
        divided = Coded(*file.codes(layer, (2400, 2400)), layer.fill).physical()
    known = divided[np.isfinite(divided)]
    assert known.size > 0
    assert -0.01 <= known.min()
    assert known.max() <= 1.6
    assert float(np.nanmax(reflectance["all"]["red"].values)) <= 1.6


def test_other_real_products_are_refused_by_name(real_file, tmp_path):
    for pattern in ("modis/MOD11B2*.hdf", "modis/MOD10A2*.hdf", "modis/MOD09GA*.hdf"):
        other = real_file(pattern)
        disguised = tmp_path / "MOD11A1.A2019305.h14v09.006.hdf"
        disguised.write_bytes(other.read_bytes())
        with pytest.raises(GranuleError, match="expected the product MOD11A1, found MOD"):
            MOD11A1.read(disguised)


def test_real_grids_are_found_at_their_pixel_size(real_file):
    with open_grid_file(real_file("modis/MOD11A1*.hdf")) as file:
        grid = read_grid(file, "h14v09", "MODIS_Grid_Daily_1km_LST", 1200)
        assert grid.window == TileYear("sin1km", "h14v09", 2019).window
        with pytest.raises(GranuleError, match=r"expected pixels of 463\.313 m"):
            read_grid(file, "h14v09", "MODIS_Grid_Daily_1km_LST", 2400)
