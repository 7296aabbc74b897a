"""Small station archives: the text of a series, its name, and folders and zips of them."""

import zipfile

import numpy as np

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
