"""Real station files: both formats, folders and zips."""

import zipfile
from collections import Counter

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.sources.ismn import read_static, read_stm

pytestmark = pytest.mark.real


def contents_of(archive, ending=".stm"):
    """Return the bytes of the files in a folder or zip by their path."""
    if archive.is_dir():
        files = sorted(path for path in archive.rglob("*") if path.name.endswith(ending))
        return {path.relative_to(archive).as_posix(): path.read_bytes() for path in files}
    with zipfile.ZipFile(archive) as package:
        names = [name for name in package.namelist() if name.endswith(ending)]
        return {name: package.read(name) for name in names}


def series_of(archive):
    return {
        name.rsplit("/", 1)[-1]: read_stm(content, name)
        for name, content in contents_of(archive).items()
    }


def flags_of(series):
    return Counter(series.flags.tolist())


@pytest.fixture(scope="module")
def networks(realdata):
    return series_of(realdata / "ismn/networks/multinetwork")


def test_t08_maqu_has_the_flags_counted_by_hand(networks):
    (maqu,) = (one for one in networks.values() if one.station == "CST_01")
    flags = flags_of(maqu)
    counted = {flag: flags[flag] for flag in ("U", "D01,D03", "C03", "D03")}
    assert counted == {"U": 9407, "D01,D03": 3258, "C03": 1338, "D03": 1235}
    assert sum(flags.values()) == 15_927
    assert (maqu.latitude, maqu.longitude, maqu.sensor) == (33.8833, 102.1333, "ECH20-EC-TM")


def test_t08_scan_abrams_has_the_flags_counted_by_hand(networks):
    (abrams,) = (one for one in networks.values() if one.station == "Abrams")
    assert flags_of(abrams)["U"] == 46_231
    assert abrams.sensor == "Hydraprobe-Analog-(2.5-Volt)"
    assert abrams.depth_to == pytest.approx(0.0508)


def test_t08_no_old_file_has_a_g_and_most_of_each_is_u(networks):
    for series in networks.values():
        flags = flags_of(series)
        assert "G" not in flags
        assert flags.most_common(1)[0][0] == "U"


def test_t08_the_old_files_end_their_lines_with_cr_alone_and_are_read(realdata):
    contents = contents_of(realdata / "ismn/networks")
    assert len(contents) == 11
    assert all(b"\n" not in content and b"\r" in content for content in contents.values())
    # The eleventh has all depths in one file, which is refused.
    contents = {name: c for name, c in contents.items() if "format_ceop/" not in name}
    rows = [read_stm(content, name).times.size for name, content in contents.items()]
    assert len(rows) == 10
    assert sum(rows) == sum(c.strip().count(b"\r") + 1 for c in contents.values()) - 9


def test_every_real_series_has_whole_hours_in_order_and_values_of_soil(networks):
    assert len(networks) == 8
    for series in networks.values():
        assert (np.diff(series.times) > np.timedelta64(0, "s")).all()
        assert series.variable == "sm"
        assert 0.0 <= np.nanmin(series.values)
        assert np.nanmax(series.values) < 0.8


def test_zip_and_folder_hold_equal_series(realdata, networks):
    zipped = series_of(
        realdata / "ismn/samples/zip_archives/multinetwork/header_values/Data_header_values.zip"
    )
    assert sorted(zipped) == sorted(networks)
    for name, series in zipped.items():
        for field in ("times", "values", "flags"):
            np.testing.assert_array_equal(getattr(series, field), getattr(networks[name], field))


def test_both_formats_hold_equal_series(realdata):
    folder = realdata / "ismn/samples"
    header = series_of(folder / "Data_seperate_files_header_20170810_20180809")
    ceop = series_of(folder / "Data_seperate_files_20170810_20180809")
    zipped = series_of(folder / "zip_archives/ceop/Data_seperate_files_20170810_20180809.zip")
    assert sorted(header) == sorted(ceop) == sorted(zipped)
    for name, one in header.items():
        for other in (ceop[name], zipped[name]):
            assert (one.station, one.sensor, one.depth_to) == (
                other.station,
                other.sensor,
                other.depth_to,
            )
            np.testing.assert_array_equal(one.times, other.times)
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.flags, other.flags)
        assert flags_of(one)["G"] > 0.5 * one.flags.size


def test_malformed_and_unsorted_files_are_named(realdata):
    for name, message in (
        ("ismn/networks/malformed/mal_formed_file.txt", "expected an ISMN station file"),
        (
            "ismn/networks/format_ceop/SMOSMANIA/SMOSMANIA_SMOSMANIA_NBN_20100304_20130801.stm",
            "order the data as separate files",
        ),
    ):
        with pytest.raises(GranuleError, match=message) as error:
            read_stm(realdata / name)
        assert (realdata / name).name in str(error.value)


def test_static_variables_of_real_stations(realdata):
    rows = [
        row
        for name, content in contents_of(realdata / "ismn/samples", "static_variables.csv").items()
        for row in read_static(content, name)
    ]
    clay = [float(row.value) for row in rows if row.name == "clay fraction"]
    assert clay
    assert all(0.0 <= value <= 100.0 for value in clay)
    assert "Cfa" in {row.value for row in rows if row.name == "climate classification"}


@pytest.mark.filterwarnings("ignore")  # its own, of pandas' newer ways
def test_the_ismn_package_reads_the_same_values_and_flags(realdata):
    """Every real series in both formats, against the network's own reader."""
    base, handlers = pytest.importorskip("ismn.base"), pytest.importorskip("ismn.filehandlers")
    samples, networks = realdata / "ismn/samples", realdata / "ismn/networks/multinetwork"
    roots = [
        networks / "header_values",
        samples / "Data_seperate_files_header_20170810_20180809",
        samples / "Data_seperate_files_20170810_20180809",
        samples / "zip_archives/ceop/Data_seperate_files_20170810_20180809.zip",
    ]
    compared = 0
    for root in map(base.IsmnRoot, roots):
        for name, content in contents_of(root.path).items():
            ours, theirs = read_stm(content, name), handlers.DataFile(root, name).read_data()
            np.testing.assert_array_equal(ours.times, theirs.index.to_numpy())
            values = theirs["soil_moisture"].where(theirs["soil_moisture"] > -900.0)
            np.testing.assert_array_equal(ours.values, values.to_numpy(np.float32))
            assert ours.flags.tolist() == theirs["soil_moisture_flag"].tolist()
            compared += 1
        root.close()
    assert compared == 14
