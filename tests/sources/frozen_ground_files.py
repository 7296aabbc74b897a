"""Native files of brightness temperatures, GLDAS and the state of the ground, written with h5py.

Level 1C and GLDAS are laid out as the real files at hand are, the others as their makers' documents
and public readers say, apart from the simulated Earth's writers.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np

START = date(2019, 1, 1)
PLACE = (8.0, 46.0)
CHANNELS = {
    "S1": "10.65 GHz",
    "S2": "18.7 GHz",
    "S3": "23.8 GHz",
    "S4": "36.5 GHz",
    "S5": "89 GHz",
    "S6": "89 GHz",
}
SATELLITES = {"AMSR2": "GCOMW1", "AMSRE": "AQUA"}


def l1c_name(sensor: str, start: datetime, end: datetime, orbit: int = 676) -> str:
    return (
        f"1C.{SATELLITES[sensor]}.{sensor}.XCAL2016-V.{start:%Y%m%d}-S{start:%H%M%S}-"
        f"E{end:%H%M%S}.{orbit:06d}.V07A.HDF5"
    )


def footprints(scans: int = 44, pixels: int = 60, step: float = 0.09):
    """Return longitude and latitude (scans, pixels): up and down again over PLACE."""
    half = scans // 2
    climb = (np.arange(half) - half / 2) * step
    lat = PLACE[1] + np.concatenate([climb, climb[::-1]])
    lon = PLACE[0] + (np.arange(pixels) - pixels / 2) * step / np.cos(np.radians(PLACE[1]))
    return np.broadcast_to(lon, (scans, pixels)), np.broadcast_to(lat[:, None], (scans, pixels))


def write_l1c(
    folder: Path,
    sensor: str,
    start: datetime,
    *,
    name: str = "",
    orbit: int = 676,
    minutes: int = 98,
    instrument: str = "",
    quality: np.ndarray | None = None,
    brightness: Mapping[str, np.ndarray] | None = None,
    places: tuple[np.ndarray, np.ndarray] | None = None,
    long_names: Mapping[str, str] | None = None,
    days: np.ndarray | None = None,
    without: str = "",
) -> Path:
    """Write an orbit whose first half ascends; every fourth footprint is doubtful."""
    folder.mkdir(parents=True, exist_ok=True)
    end = start + timedelta(minutes=minutes)
    path = folder / (name or l1c_name(sensor, start, end, orbit))
    lon, lat = footprints() if places is None else places
    shape = lon.shape
    codes = (np.arange(lon.size) % 4 == 3).astype(np.int8).reshape(shape) * 2
    codes = codes if quality is None else quality
    stamps = np.full(shape[0], np.datetime64(start, "D")) if days is None else days
    with h5py.File(path, "w") as file:
        file.attrs["FileHeader"] = np.bytes_(f"InstrumentName={instrument or sensor};\n")
        for number, (swath, band) in enumerate(CHANNELS.items()):
            group = file.create_group(swath)
            values = np.stack([250.0 + number + 0.0 * lat, 230.0 + number + 0.0 * lat], axis=-1)
            values = (brightness or {}).get(swath, values)
            layer = group.create_dataset("Tc", data=values.astype(np.float32), compression="gzip")
            told = f"Intercalibrated Tb for channels 1) {band} V-Pol and 2) {band} H-Pol"
            layer.attrs["LongName"] = np.bytes_((long_names or {}).get(swath, told))
            group["Longitude"], group["Latitude"] = lon.astype("f4"), lat.astype("f4")
            group["Quality"] = codes.astype(np.int8)
            group["SCstatus/SClatitude"] = lat[:, 0].astype("f4")
            group["ScanTime/Year"] = stamps.astype("datetime64[Y]").astype(int).astype("i2") + 1970
            months = stamps.astype("datetime64[M]")
            group["ScanTime/Month"] = (months.astype(int) % 12 + 1).astype("i1")
            seconds = start.hour * 3600.0 + 1.5 * np.arange(shape[0])
            group["ScanTime/SecondOfDay"] = seconds
            group["ScanTime/DayOfMonth"] = ((stamps - months).astype(int) + 1).astype("i1")
        if without:
            del file[without]
    return path


def mwri_name(half: str, start: datetime, satellite: str = "B") -> str:
    return f"FY3{satellite}_MWRI{half}_GBAL_L1_{start:%Y%m%d_%H%M}_010KM_MS.HDF"


def write_mwri(
    folder: Path,
    half: str,
    start: datetime,
    *,
    name: str = "",
    grouped: bool = False,
    slope: float = 0.01,
    brightness: np.ndarray | None = None,
) -> Path:
    """Write a half orbit over PLACE: ten channels of 240, 241, ... 249 K."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or mwri_name(half, start))
    lon, lat = (axis[:22] for axis in footprints())
    kelvin = 240.0 + np.arange(10)[:, None, None] + 0.0 * lat[None]
    kelvin = kelvin if brightness is None else brightness
    stored = np.rint((kelvin - 327.68) / 0.01).astype(np.int16)
    since = start - datetime(2000, 1, 1, 12)
    measured, placed = ("Calibration/", "Geolocation/") if grouped else ("", "")
    with h5py.File(path, "w") as file:
        layer = file.create_dataset(f"{measured}EARTH_OBSERVE_BT_10_to_89GHz", data=stored)
        layer.attrs["Slope"], layer.attrs["Intercept"] = np.array([slope]), np.array([327.68])
        file[f"{placed}Longitude"] = lon.astype("f4")
        file[f"{placed}Latitude"] = lat.astype("f4")
        file[f"{measured}Scan_Daycnt"] = np.full((len(lat), 1), since.days, np.int32)
        file[f"{measured}Scan_Mscnt"] = np.full((len(lat), 2), since.seconds * 1000.0)
    return path


def gldas_name(day: date, hour: int) -> str:
    return f"GLDAS_NOAH025_3H.A{day:%Y%m%d}.{hour:02d}00.021.nc4"


GLDAS_FIELDS = {
    "Tair_f_inst": ("K", 270.0),
    "SoilTMP0_10cm_inst": ("K", 272.0),
    "SoilMoi0_10cm_inst": ("kg m-2", 25.0),
    "SWE_inst": ("kg m-2", 12.0),
}


def write_gldas(
    folder: Path,
    day: date,
    hour: int,
    *,
    name: str = "",
    values: Mapping[str, float] | None = None,
    without: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    told_hour: int | None = None,
    north_up: bool = False,
) -> Path:
    """Write one instant: 20 x 20 cells about PLACE, rising northward by 0.1 a row, else fill."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or gldas_name(day, hour))
    lat = -59.875 + 0.25 * np.arange(600)
    lon = -179.875 + 0.25 * np.arange(1440)
    row, col = int((PLACE[1] + 60.0) / 0.25), int((PLACE[0] + 180.0) / 0.25)
    with h5py.File(path, "w") as file:
        file["lat"] = (lat[::-1] if north_up else lat).astype("f4")
        file["lon"] = lon.astype("f4")
        minutes = (day - date(2000, 1, 1)).days * 1440 + 60 * (
            hour if told_hour is None else told_hour
        )
        file["time"] = np.array([minutes - 180.0])
        file["time"].attrs["units"] = np.bytes_(" minutes since 2000-01-01 03:00:00")
        for layer, (unit, base) in GLDAS_FIELDS.items():
            if layer in without:
                continue
            field = np.full((1, 600, 1440), -9999.0, np.float32)
            square = (values or {}).get(layer, base) + 0.1 * np.arange(20)[:, None]
            field[0, row - 10 : row + 10, col - 10 : col + 10] = square
            made = file.create_dataset(layer, data=field, compression="gzip")
            made.attrs["units"] = np.bytes_((units or {}).get(layer, unit))
            made.attrs["_FillValue"] = np.array([-9999.0], "f4")
            made.attrs["scale_factor"] = np.array([1.0], "f4")
            made.attrs["add_offset"] = np.array([0.0], "f4")
    return path


def smos_ft_name(day: date, orbits: str = "") -> str:
    return f"W_XX-ESA,SMOS,NH_25KM_EASE2_{day:%Y%m%d}_o_v200_01_l3soilft{orbits}.nc"


NORTH_SQUARE = (slice(545, 555), slice(380, 390))
"""Cells about PLACE, below the middle of the northern map."""


def write_smos_ft(
    folder: Path,
    day: date,
    *,
    orbits: str = "descending",
    states: np.ndarray | None = None,
    lowest: int | None = 1,
    attribute: str = "flag_values",
    name: str = "",
    shape: tuple[int, int] = (720, 720),
    axes: bool = True,
    told: str | None = None,
) -> Path:
    """Write a day: states 0, 1, 2 in turn on 10 x 10 cells, counted from `lowest`; else 255."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or smos_ft_name(day, "_asc" if orbits == "ascending" else ""))
    square = np.arange(100).reshape(10, 10) % 3 if states is None else states
    globe = np.full((720, 720), 255, np.uint8)
    globe[NORTH_SQUARE] = np.where(square == 255, 255, square + (lowest or 0))
    with h5py.File(path, "w") as file:
        said = f"Currently only {orbits} orbits used" if told is None else told
        if said:
            file.attrs["orbits_included"] = np.bytes_(said)
        if axes:
            file["x"] = -8987500.0 + 25000.0 * np.arange(720)
            file["y"] = 8987500.0 - 25000.0 * np.arange(720)
        layer = file.create_dataset("L3FT", data=globe[: shape[0], : shape[1]], compression="gzip")
        if lowest is not None:
            codes = [lowest, lowest + 2] if attribute == "valid_range" else lowest + np.arange(3)
            layer.attrs[attribute] = np.array(codes, np.uint8)
    return path


def smap_ft_name(short_name: str, day: date) -> str:
    enhanced = "_E" if short_name.endswith("_E") else ""
    return f"SMAP_L3_FT_P{enhanced}_{day:%Y%m%d}_R18290_001.h5"


SMAP_SHAPES = {"SPL3FTP": (406, 964), "SPL3FTP_E": (1624, 3856)}
SMAP_SQUARES = {
    "SPL3FTP": (slice(50, 62), slice(497, 509)),
    "SPL3FTP_E": (slice(220, 232), slice(2007, 2019)),
}


def write_smap_ft(
    folder: Path,
    short_name: str,
    day: date,
    *,
    states: np.ndarray | None = None,
    quality: np.ndarray | int = 0,
    name: str = "",
    halves: int = 2,
    group: str = "Freeze_Thaw_Retrieval_Data_Global",
    told: str = "",
) -> Path:
    """Write a day: 0 and 1 in turn on 12 x 12 cells, the other way round in the evening."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or smap_ft_name(short_name, day))
    square = np.arange(144).reshape(12, 12) % 2 if states is None else states
    rows, cols = SMAP_SQUARES[short_name]
    state = np.full((halves, *SMAP_SHAPES[short_name]), 254, np.uint8)
    word = np.full(state.shape, 65534, np.uint16)
    for half in range(halves):
        state[half, rows, cols] = np.where(square > 1, square, square ^ half)
        word[half, rows, cols] = quality
    with h5py.File(path, "w") as file:
        identification = file.create_group("Metadata/DatasetIdentification")
        identification.attrs["shortName"] = told or short_name
        file.create_dataset(f"{group}/freeze_thaw", data=state, compression="gzip")
        file.create_dataset(f"{group}/retrieval_qual_flag", data=word, compression="gzip")
    return path


FROZEN_GROUND = (
    "amsre_tb",
    "amsr2_tb",
    "mwri_tb",
    "gldas",
    "smos_ft",
    "smap_ft",
    "smap_ft_e",
)


def write_frozen_ground(source: str, folder: Path) -> list[Path]:
    """Write two days of a source from START, the first day first."""
    days = (START, START + timedelta(days=1))
    noons = [datetime(day.year, day.month, day.day, 12) for day in days]
    if source in ("amsre_tb", "amsr2_tb"):
        sensor = source.removesuffix("_tb").upper()
        return [write_l1c(folder, sensor, noon, orbit=n) for n, noon in enumerate(noons)]
    if source == "mwri_tb":
        return [write_mwri(folder, half, noon) for noon in noons for half in "AD"]
    if source == "gldas":
        return [write_gldas(folder, day, hour) for day in days for hour in range(0, 24, 3)]
    if source == "smos_ft":
        passes = ("ascending", "descending")
        return [write_smos_ft(folder, day, orbits=one) for day in days for one in passes]
    short_name = {"smap_ft": "SPL3FTP", "smap_ft_e": "SPL3FTP_E"}[source]
    return [write_smap_ft(folder, short_name, day, quality=_doubts()) for day in days]


def _doubts() -> np.ndarray:
    """Return quality words: recommended, not recommended, failed, and so on."""
    return np.array([0, 1, 0, 0, 5])[np.arange(144).reshape(12, 12) % 5]
