"""What holds for every source in the registry, whatever its format."""

import shutil
from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import GranuleError, UserError
from smcloud.grids.tiles import TileYear
from smcloud.simulate.samples import SAMPLE_START, SAMPLE_TILE, sample_window
from smcloud.sources.base import PacksGranules, PairsFiles, Source
from smcloud.sources.quality import ALL
from smcloud.sources.registry import SOURCES
from tests.sources.conftest import sample_key

NAMES = sorted(SOURCES)
PAIRED = [name for name in NAMES if isinstance(SOURCES[name], PairsFiles)]
"""Their files are of the whole globe, and those of the quality serve several of them."""
WITH_QUALITY = [
    name for name in NAMES if len(SOURCES[name].quality_rules) > 1 and name not in PAIRED
]
TILES = [name for name in NAMES if not SOURCES[name].joins_granules]


def one_line_naming(error: pytest.ExceptionInfo, name: str) -> None:
    text = str(error.value)
    assert name in text
    assert "\n" not in text
    assert "expected" in text or "damaged" in text or "truncated" in text


@pytest.fixture(params=NAMES)
def source(request) -> Source:
    return SOURCES[request.param]


def test_a_source_is_one_by_the_protocol_and_its_cube_carries_its_name(source):
    assert isinstance(source, Source)
    assert source.schema.name == source.name
    assert SOURCES[source.name] is source


def test_names_of_files_tell_tile_and_days(source, sample_files):
    granules = [source.identify(path.name) for path in sample_files(source.name)]
    assert all(granule is not None and granule.source == source.name for granule in granules)
    if not source.schema.is_static:
        assert granules[0].start == SAMPLE_START
        assert granules[0].end >= granules[0].start
    assert source.identify("README.md") is None
    assert source.identify("MOD10A2.A2022033.h09v05.061.2022042050729.hdf") is None


def test_a_file_belongs_to_one_source_only(source, sample_files):
    for path in sample_files(source.name):
        scene = source.identify(path.name).scene
        if source.name in PAIRED and scene != source.scenes(ALL)[0]:
            continue
        owners = [other.name for other in SOURCES.values() if other.identify(path.name)]
        assert owners == [source.name]


def test_granules_cover_their_own_tile_and_no_far_one(source, sample_files):
    granules = [source.identify(path.name) for path in sample_files(source.name)]
    assert all(source.covers(granule, sample_key(source.name)) for granule in granules)
    if source.schema.on.is_fine and source.name not in PAIRED:
        far = TileYear("sin1km", "h30v11", sample_key(source.name).year)
        assert not any(source.covers(granule, far) for granule in granules)


def test_read_gives_physical_values_with_units_on_the_native_grid(source, opened):
    for dataset in opened(source.name):
        assert dataset.data_vars
        for name, values in dataset.data_vars.items():
            assert values.attrs["units"], name
            assert values.dims[-2:] in {("y", "x"), ("latitude", "longitude")}
            assert values.dtype == np.float32 or values.dtype.kind == "u"


def test_steps_fit_the_cube(source, stepped):
    key, found = sample_key(source.name), stepped(source.name)
    rows, cols = source.schema.on.dims
    for variable in source.schema.variables:
        if variable.name == "upstream_area":  # optional: no sheet of it in the sample
            continue
        values = found[variable.name]
        assert values.dims == source.schema.dims
        assert values.dtype == np.float32
        assert values.attrs["units"] == variable.units
        known = values.values[np.isfinite(values.values)]
        assert known.size > 0, variable.name
        assert known.min() >= variable.valid[0]
        assert known.max() <= variable.valid[1]
        assert np.isnan(values.values).any() or not source.schema.on.is_fine
    grid, window = source.schema.on, key.window
    if source.schema.on.is_fine:
        assert found[rows].size == window.shape[0]
        np.testing.assert_array_equal(found[rows].values, grid.y[window.row0 : window.row1])
        np.testing.assert_array_equal(found[cols].values, grid.x[window.col0 : window.col1])
    if not source.schema.is_static:
        steps = source.schema.times(key.year)
        days = found["time"].values.astype("datetime64[D]")
        assert np.isin(days, steps).all()
        assert (np.diff(days) > np.timedelta64(0, "D")).all()


def test_steps_cut_to_a_window_equal_the_whole(source, opened, stepped):
    key, whole = sample_key(source.name), stepped(source.name)
    grid, (rows, cols) = source.schema.on, source.schema.on.dims
    inner = sample_window()
    if not grid.is_fine:
        known = np.argwhere(np.isfinite(whole[source.schema.variables[0].name].values))[0]
        row = round((grid.y_first - float(whole[rows][known[-2]])) / grid.step)
        col = round((float(whole[cols][known[-1]]) - grid.x_first) / grid.step)
        inner = type(key.window)(row, row + 3, col, col + 4)
    part = source.steps(opened(source.name), key, within=inner)
    assert (part.sizes[rows], part.sizes[cols]) == inner.shape
    cut = whole.sel({rows: part[rows], cols: part[cols]}, method="nearest")
    for name in part.data_vars:
        np.testing.assert_allclose(part[name].values, cut[name].values, rtol=1e-5, atol=1e-5)


def test_values_survive_the_packing_of_the_cube(source, stepped):
    found = stepped(source.name)
    for variable in source.schema.variables:
        if variable.name not in found:
            continue
        values = found[variable.name].values
        back = variable.unpack(variable.pack(values))
        np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
        np.testing.assert_allclose(back, values, atol=0.5001 * variable.scale + 1e-5, rtol=1e-6)


def whole_tile(source: PacksGranules) -> dict[str, np.ndarray]:
    shape = sample_key(source.name).window.shape
    return {v.name: np.full(shape, v.fill_value, v.dtype) for v in source.schema.variables}


@pytest.mark.parametrize("name", TILES)
def test_packing_a_file_at_once_gives_the_bits_of_reading_and_packing_it(name, sample_files):
    source, key = SOURCES[name], sample_key(name)
    assert isinstance(source, PacksGranules)
    for rule in source.quality_rules:
        found = source.steps([source.read(sample_files(name)[0], quality=rule)], key)
        packed = {
            v.name: np.full(key.window.shape, v.fill_value, v.dtype)
            for v in source.schema.variables
        }
        source.pack_into(sample_files(name)[0], packed, quality=rule)
        for variable in source.schema.variables:
            expected = variable.pack(found[variable.name].values[0])
            assert (expected != variable.fill_value).any()
            np.testing.assert_array_equal(packed[variable.name], expected)


@pytest.mark.parametrize("name", TILES)
def test_packing_names_a_damaged_file_and_one_of_another_tile(name, sample_files, tmp_path):
    source = SOURCES[name]
    into = whole_tile(source)
    whole = sample_files(name)[0]
    for cut in (tmp_path / whole.name, tmp_path / whole.name.replace(SAMPLE_TILE, "h19v04")):
        data = whole.read_bytes()
        cut.write_bytes(data[: len(data) * 9 // 10] if cut.name == whole.name else data)
        with pytest.raises(GranuleError) as error:
            source.pack_into(cut, into)
        one_line_naming(error, cut.name)


@pytest.mark.parametrize("name", WITH_QUALITY)
def test_stricter_rules_keep_fewer_pixels(name, sample_files):
    source = SOURCES[name]
    path = sample_files(name)[0]
    kept = {}
    for rule in source.quality_rules:
        dataset = source.read(path, quality=rule)
        kept[rule] = np.isfinite(dataset[source.schema.variables[0].name].values)
        dataset.close()
    strict, fair, every = (kept[rule] for rule in source.quality_rules)
    assert source.quality_rules[-1] == ALL
    assert strict.sum() < every.sum() or fair.sum() == every.sum()
    assert not (strict & ~fair).any()
    assert not (fair & ~every).any()
    assert strict.any()


def test_an_unknown_quality_rule_is_refused(source, sample_files):
    with pytest.raises(UserError, match="no quality rule 'best'"):
        source.read(sample_files(source.name)[0], quality="best")


def test_a_truncated_file_is_named(source, sample_files, tmp_path):
    whole = sample_files(source.name)[0]
    data = whole.read_bytes()
    reach = sample_window() if source.schema.on.is_fine else None
    for part in (0, 3, len(data) // 3, len(data) * 9 // 10):
        cut = tmp_path / whole.name
        cut.write_bytes(data[:part])
        with pytest.raises(GranuleError) as error:
            source.steps([source.read(cut)], sample_key(source.name), within=reach)
        one_line_naming(error, whole.name)


def test_a_file_of_another_product_is_named(source, sample_files, tmp_path):
    mine = sample_files(source.name)[0]
    others = {"mod11a1", "mod09a1", "era5land", "soilgrids"} - {source.name}
    for other in sorted(others):
        disguised = tmp_path / mine.name
        shutil.copy(sample_files(other)[0], disguised)
        with pytest.raises(GranuleError) as error:
            source.read(disguised)
        one_line_naming(error, mine.name)


@pytest.mark.parametrize("name", TILES)
def test_a_file_of_another_tile_is_named(name, sample_files, tmp_path):
    source = SOURCES[name]
    mine = sample_files(name)[0]
    disguised = tmp_path / mine.name.replace(SAMPLE_TILE, "h19v04")
    shutil.copy(mine, disguised)
    with pytest.raises(GranuleError, match="expected pixels of tile h19v04") as error:
        source.read(disguised)
    one_line_naming(error, disguised.name)


@pytest.mark.parametrize("name", TILES)
def test_a_file_of_another_collection_is_named(name, sample_files, tmp_path):
    source = SOURCES[name]
    mine = sample_files(name)[0]
    collection = ".V99." if ".V" in mine.name else ".005."
    stamp = next(part for part in mine.name.split(".") if part in source.collections)
    disguised = tmp_path / mine.name.replace(f".{stamp}.", collection)
    shutil.copy(mine, disguised)
    with pytest.raises(GranuleError, match="expected collection") as error:
        source.read(disguised)
    one_line_naming(error, disguised.name)


@pytest.mark.parametrize("name", TILES)
def test_steps_refuse_a_dataset_of_another_tile(name, opened):
    source = SOURCES[name]
    with pytest.raises(GranuleError, match="expected tile h19v04, found h18v04"):
        source.steps(opened(name), TileYear("sin1km", "h19v04", 2019))


@pytest.mark.parametrize("name", TILES)
def test_a_composite_that_begins_between_the_steps_of_the_cube_is_refused(
    name, sample_files, tmp_path
):
    source = SOURCES[name]
    steps = source.schema.times(2020)
    between = date(2020, 12, 30)
    shifted = tmp_path / example_name(source, between)
    shutil.copy(sample_files(name)[0], shifted)
    if source.schema.step_days == 1:
        assert np.datetime64(between) in steps
        return
    with pytest.raises(GranuleError, match="expected a composite that begins") as error:
        source.read(shifted)
    one_line_naming(error, shifted.name)


def example_name(source: Source, start: date) -> str:
    if source.name.startswith("glass"):
        collection = source.collections[0]
        return f"{source.short_name}.{collection}.A{start:%Y%j}.h18v04.2021001.hdf"
    return f"{source.short_name}.A{start:%Y%j}.h18v04.061.2021001000000.hdf"
