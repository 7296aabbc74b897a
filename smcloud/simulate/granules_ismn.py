"""Station files as the International Soil Moisture Network delivers them.

Both formats, read off real downloads. *Header and values*: the first line names network, station,
place, depths and sensor, the others hold time, value, flag and the provider's own flag. *CEOP,
separate files*: every line repeats network, station, place and depths. Each station is a folder
``<network>/<station>`` with one ``.stm`` file per probe and a ``static_variables.csv``; a download
is such folders with one ``Metadata.xml`` beside them, as a zip or unpacked. Old downloads end lines
with CR alone and say -999.99 for missing values in CEOP files; newer ones CR LF and -9999.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.records import Site, SoilMap, Station, StationSeries

Stations = Sequence[tuple[StationSeries, SoilMap]]

HEADER, CEOP = "header", "ceop"
_FOLDERS = {
    HEADER: "Data_separate_files_header_{first}_{last}",
    CEOP: "Data_separate_files_{first}_{last}",
}
MISSING = {HEADER: -9999.0, CEOP: -999.99}
OWN_FLAG = "M"
MINERAL_DENSITY = 2.65
"""g cm-3."""
ZIP_TIME = (2020, 1, 1, 0, 0, 0)
"""Members carry a fixed time: archives of two runs are equal."""
STATIC_COLUMNS = (
    "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name;"
    "quantity_source_description;quantity_source_provider;quantity_source_version;"
    "quantity_source_resolution;quantity_source_timerange;quantity_source_url;"
)
_METADATA = """<?xml version="1.0"?>
<gmd:MD_Metadata xmlns:gco="http://www.isotc211.org/2005/gco" \
xmlns:gmd="http://www.isotc211.org/2005/gmd">
    <gmd:fileIdentifier>
        <gco:CharacterString>Metadata</gco:CharacterString>
    </gmd:fileIdentifier>
    <gmd:contact>
        <gmd:CI_ResponsibleParty>
            <gmd:organisationName>
                <gco:CharacterString>smcloud simulated stations</gco:CharacterString>
            </gmd:organisationName>
        </gmd:CI_ResponsibleParty>
    </gmd:contact>
    <gmd:spatialRepresentationInfo>
        <gmd:MD_VectorSpatialRepresentation>
            <gmd:geometricObjects>
                <gmd:MD_GeometricObjects>
                    <gmd:geometricObjectCount>
                        <gco:Integer>{stations}</gco:Integer>
                    </gmd:geometricObjectCount>
                </gmd:MD_GeometricObjects>
            </gmd:geometricObjects>
        </gmd:MD_VectorSpatialRepresentation>
    </gmd:spatialRepresentationInfo>
</gmd:MD_Metadata>
"""


def download_name(layout: str, first: np.datetime64, last: np.datetime64) -> str:
    """Return the name of a download's folder, or of its zip without the suffix."""
    return _FOLDERS[layout].format(first=_compact(first), last=_compact(last))


def write_folder(
    folder: Path, name: str, layout: str, stations: Stations, variable: str = "sm"
) -> Path:
    """Write a download as a folder below `folder` and return its path.

    Parameters
    ----------
    folder : Path
        Existing folder.
    name : str
        Of the download, such as `download_name` gives.
    layout : str
        ``header`` or ``ceop``.
    stations : sequence of (StationSeries, SoilMap)
        Records, and the mapped soil of each place (one value long) for its static variables.
    variable : str
        ISMN's word for what the series are: ``sm`` or ``ts``.
    """
    root = folder / name
    for member, data in members(layout, stations, variable):
        path = root / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(folder: Path, name: str, layout: str, stations: Stations) -> Path:
    """Write a download as a zip below `folder` and return its path; arguments as `write_folder`."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member, data in members(layout, stations):
            entry = zipfile.ZipInfo(member, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def members(layout: str, stations: Stations, variable: str = "sm") -> list[tuple[str, bytes]]:
    """Return the files of a download as (relative name, bytes), sorted by name."""
    files = {"Metadata.xml": _METADATA.format(stations=len(stations)).encode()}
    for series, soil in stations:
        station = series.station
        place = f"{station.network}/{station.name}"
        # Real downloads write '-' in file names where folder and header have '_'.
        network, name = station.network.replace("_", "-"), station.name.replace("_", "-")
        stem = f"{network}_{network}_{name}"
        probe = f"{variable}_{station.depth_from:.6f}_{station.depth_to:.6f}_{station.sensor}"
        span = f"{_compact(series.times[0])}_{_compact(series.times[-1])}"
        files[f"{place}/{stem}_{probe.replace(' ', '-')}_{span}.stm"] = station_text(layout, series)
        files[f"{place}/{stem}_static_variables.csv"] = static_text(soil, station.site)
    return sorted(files.items())


def station_text(layout: str, series: StationSeries) -> bytes:
    """Return the content of one ``.stm`` file; missing values carry the format's own number."""
    station = series.station
    end = " \r" if station.style == "old" else "\r\n"
    missing = MISSING[layout]
    values = np.where(np.isnan(series.values), missing, series.values)
    stamps = [stamp.replace("-", "/").replace("T", " ") for stamp in _minutes(series.times)]
    rows = zip(stamps, values.tolist(), series.flags.tolist(), strict=True)
    place = _place(station)
    if layout == CEOP:
        lines = [f"{t} {t} {place} {v:8.4f} {flag} {OWN_FLAG}" for t, v, flag in rows]
    else:
        lines = [f"{place} {station.sensor}"]
        lines += [f"{t} {v:8.4f} {flag} {OWN_FLAG}" for t, v, flag in rows]
    return (end.join(lines) + end).encode()


def static_text(soil: SoilMap, site: Site) -> bytes:
    """Return the content of a ``static_variables.csv``: soil of two layers, land cover, climate.

    Saturation is 1 - bulk density / 2.65.
    """
    rows = [STATIC_COLUMNS]
    for top, bottom in ((0.0, 0.3), (0.3, 1.0)):
        quantities = (
            ("saturation", "m^3*m^-3", 1.0 - soil.bulk_density_g_cm3 / MINERAL_DENSITY),
            ("clay fraction", "% weight", soil.clay_percent),
            ("organic carbon", "% weight", soil.organic_carbon_g_kg / 10.0),
            ("sand fraction", "% weight", soil.sand_percent),
            ("silt fraction", "% weight", soil.silt_percent),
        )
        for name, unit, value in quantities:
            number = float(np.ravel(value)[0])
            rows.append(
                f"{name};{unit};{top:.2f};{bottom:.2f};{number:.2f};;HWSD;simulated soil;;;;;;"
            )
    rows += [
        f"land cover classification;;;;{site.land_cover};{site.land_cover_name};"
        f"CCI_landcover_{year};simulated;;;;;;"
        for year in (2000, 2005, 2010)
    ]
    rows.append(
        f"climate classification;;;;{site.climate};{site.climate_name};"
        "koeppen_geiger_2007;simulated;;;;;;"
    )
    return ("\r\n".join(rows) + "\r\n").encode()


def _place(station: Station) -> str:
    return (
        f"{station.network:<10} {station.network:<15} {station.name:<15}"
        f" {station.latitude:10.5f} {station.longitude:11.5f} {station.elevation_m:7.2f}"
        f" {station.depth_from:7.2f} {station.depth_to:7.2f}"
    )


def _minutes(times: Array) -> list[str]:
    text: list[str] = np.datetime_as_string(times.astype("datetime64[m]")).tolist()
    return text


def _compact(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]")).replace("-", "")
