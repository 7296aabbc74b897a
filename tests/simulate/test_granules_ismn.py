"""Station files are laid out as real downloads are, in both formats."""

import zipfile

import numpy as np
import pytest

from smcloud.simulate.granules_ismn import (
    CEOP,
    HEADER,
    download_name,
    static_text,
    station_text,
    write_folder,
    write_zip,
)
from smcloud.simulate.records import Site, SoilMap, Station, StationSeries

SOIL = SoilMap(*(np.array([value], np.float32) for value in (36.0, 41.0, 23.0, 1.4, 12.7)))


def series(style="new", network="COS_MOS"):
    station = Station(
        network, "ARM-1", -97.4878, 36.6054, 322.0, 0.0, 0.19, "Cosmic Probe", style, True
    )
    times = np.datetime64("2017-08-10T00", "h") + np.arange(3)
    values = np.array([0.141, np.nan, 0.139], np.float32)
    return StationSeries(station, times, values, np.array(["G", "M", "D01,D03"]))


def test_header_and_values():
    lines = station_text(HEADER, series(network="COSMOS")).decode().split("\r\n")
    # Columns as in a real file of COSMOS ARM-1.
    assert lines[0] == (
        "COSMOS     COSMOS          ARM-1             36.60540   -97.48780  322.00"
        "    0.00    0.19 Cosmic Probe"
    )
    assert lines[1] == "2017/08/10 00:00   0.1410 G M"
    assert lines[2] == "2017/08/10 01:00 -9999.0000 M M"
    assert lines[3] == "2017/08/10 02:00   0.1390 D01,D03 M"
    assert lines[4:] == [""]


def test_ceop_repeats_the_place_in_every_line():
    lines = station_text(CEOP, series(network="COSMOS")).decode().split("\r\n")
    assert lines[0] == (
        "2017/08/10 00:00 2017/08/10 00:00 COSMOS     COSMOS          ARM-1         "
        "    36.60540   -97.48780  322.00    0.00    0.19   0.1410 G M"
    )
    assert lines[1].endswith("0.19 -999.9900 M M")
    assert len(lines) == 4


def test_old_downloads_end_lines_with_cr_alone():
    """Trap T8."""
    text = station_text(HEADER, series("old"))
    assert text.count(b"\n") == 0
    assert text.count(b"\r") == 4


def test_a_folder_has_networks_stations_probes_and_statics(tmp_path):
    root = write_folder(tmp_path, "download", HEADER, [(series(), SOIL)])
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    # The folder keeps the underscore that file names turn into a dash.
    assert names == [
        "COS_MOS/ARM-1/COS-MOS_COS-MOS_ARM-1_sm_0.000000_0.190000_Cosmic-Probe_20170810_20170810"
        ".stm",
        "COS_MOS/ARM-1/COS-MOS_COS-MOS_ARM-1_static_variables.csv",
        "Metadata.xml",
    ]


def test_a_zip_is_the_same_whenever_it_is_written(tmp_path):
    first = write_zip(tmp_path, "first", CEOP, [(series(), SOIL)])
    second = write_zip(tmp_path, "second", CEOP, [(series(), SOIL)])
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3


def test_statics_hold_the_mapped_soil():
    rows = [row.split(";") for row in static_text(SOIL, Site()).decode().split("\r\n")]
    values = {(row[0], row[2]): row[4] for row in rows[1:] if len(row) > 4}
    assert values["clay fraction", "0.00"] == "23.00"
    assert values["organic carbon", "0.30"] == "1.27"
    assert float(values["saturation", "0.00"]) == pytest.approx(1 - 1.4 / 2.65, abs=0.005)


def test_a_download_is_named_by_its_days():
    span = np.datetime64("2019-01-01T00"), np.datetime64("2019-12-31T23")
    assert download_name(CEOP, *span) == "Data_separate_files_20190101_20191231"
    assert download_name(HEADER, *span) == "Data_separate_files_header_20190101_20191231"
