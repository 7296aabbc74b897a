"""Small station archives: the text of a series, its name, folders and zips, and stored tables."""

import zipfile

import numpy as np

from smcloud.ingest import daily_means as ingest_means
from smcloud.ingest.stations import (
    daily_part,
    read_stations,
    sensor_files,
    write_part,
    write_table,
)

STATIC = (
    "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name;\n"
    "clay fraction;% weight;0.00;0.30;23.00;;HWSD;\n"
    "climate classification;;;;Cfa;Temperate;koeppen_geiger_2007;\n"
)


def series_text(station="A", hours=48, flag="G", end="\r\n", start="2019-01-01T00", network="NET"):
    rows = [f"{network} {network} {station} 45.00000 1.00000 100.00 0.05 0.05 Probe-X"]
    rows += [
        f"{t.item():%Y/%m/%d %H:%M} 0.2000 {flag} M"
        for t in np.datetime64(start, "s") + np.arange(hours) * np.timedelta64(3600, "s")
    ]
    return end.join(rows) + end


def name_of(station, variable="sm", depth="0.050000", network="NET"):
    stem = f"{network}_{network}_{station}_{variable}_{depth}_{depth}_Probe-X_20190101_20190102"
    return f"{network}/{station}/{stem}.stm"


def write_folder(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def daily_means(times, values, flags, rules):
    """Return the daily means of values whose flags are texts."""
    names, codes = np.unique(flags, return_inverse=True)
    return ingest_means.daily_means(times, values, names.tolist(), codes, rules)


def write_stations(sensors, url):
    """Store sensors below `url` as one part; return the tables that are read back."""
    part = daily_part(sensor_files(sensors))
    write_part(part, url)
    write_table(part.rows, url)
    return read_stations(url)
