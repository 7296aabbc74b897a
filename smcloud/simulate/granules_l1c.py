"""Brightness temperatures by pass: GPM level 1C (AMSR-E, AMSR2) and level 1 of MWRI, HDF5.

Layouts are those that the readers' documents tell. The footprints of a pass are laid out scan by
scan, each of as many pixels as fit, from south to north or from north to south as the satellite
goes; what fills the last scan is fill. A file covers the part of an orbit over the cells that are
simulated, and its name the whole orbit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import h5py
import numpy as np

from smcloud.simulate.frozen_emission import BANDS
from smcloud.simulate.frozen_ground import Measured
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.noise import Doubles

PIXELS, LEAST_SCANS = 48, 2
"""One scan alone would not tell which way the satellite goes."""
FILL = -9999.9
KM_PER_DEGREE, GROUND_KM_PER_SECOND = 111.2, 6.75
HALF_ORBIT_MINUTES = 49
DISTURBED = 2
SWATHS = (
    ("S1", "10", "10.65 GHz", ""),
    ("S2", "18", "18.7 GHz", ""),
    ("S3", "23", "23.8 GHz", ""),
    ("S4", "36", "36.5 GHz", ""),
    ("S5", "89", "89 GHz", " A-Scan"),
    ("S6", "89", "89 GHz", " B-Scan"),
)
"""Group, band, and how the band and its horn are told."""
MWRI_EPOCH = datetime(2000, 1, 1, 12)
MWRI_SLOPE, MWRI_INTERCEPT = 0.01, 327.68


@dataclass(frozen=True)
class Scans:
    """Footprints of a pass in the order in which they are seen, scan by scan.

    Attributes
    ----------
    order : int array (scans, PIXELS)
        Number of the footprint; -1 for none.
    lat : float array (scans,)
        Mean latitude of each scan, degrees: where the satellite is.
    times : datetime64[ms] array (scans,)
    """

    order: Array
    lat: Doubles
    times: Array

    @classmethod
    def of(cls, lat: Doubles, middle: datetime, *, is_ascending: bool) -> "Scans":
        """Return the scans of footprints at latitudes (n,) that are passed about a time, UTC."""
        order = np.argsort(lat if is_ascending else -lat, kind="stable")
        count = max(LEAST_SCANS, -(-lat.size // PIXELS))
        padded = np.full(count * PIXELS, -1, np.int64)
        padded[: lat.size] = order
        laid = padded.reshape(count, PIXELS)
        known = laid >= 0
        held = known.sum(axis=1)
        means = np.where(known, lat[laid], 0.0).sum(axis=1) / np.maximum(held, 1)
        means[held == 0] = means[held > 0][-1]
        # A satellite never stands still: equal means of neighbouring scans would tell no direction.
        step = 1e-4 if is_ascending else -1e-4
        means = means + step * np.arange(count)
        along = np.abs(means - means[0]) - np.abs(means[-1] - means[0]) / 2
        seconds = along * KM_PER_DEGREE / GROUND_KM_PER_SECOND
        milliseconds = np.rint(1000 * seconds).astype("timedelta64[ms]")
        return cls(laid, means, np.datetime64(middle, "ms") + milliseconds)

    def lay(self, values: Array, fill: float) -> Array:
        """Return values (n, ...) by scan and pixel, `fill` where there is no footprint."""
        laid = values[np.maximum(self.order, 0)]
        laid[self.order < 0] = fill
        return laid


def pass_time(day: date, local_hour: float, lon: float) -> datetime:
    """Return when a pass of a UTC day is over a longitude (degrees)."""
    hour = (local_hour - lon / 15.0) % 24.0
    return datetime(day.year, day.month, day.day) + timedelta(seconds=round(3600 * hour))


@dataclass(frozen=True)
class OrbitProduct:
    """Names and content of the files of a radiometer.

    Attributes
    ----------
    file_name : callable
        From the middle of a pass (UTC) and whether it ascends.
    content : callable
        From what was measured, longitude and latitude of its footprints, and their scans.
    """

    file_name: Callable[[datetime, bool], str]
    content: Callable[[Measured, Doubles, Doubles, Scans], bytes]


def l1c_product(sensor: str, satellite: str, calibration: str) -> OrbitProduct:
    """Return the product of AMSR-E or AMSR2."""

    def file_name(middle: datetime, is_ascending: bool) -> str:
        half = timedelta(minutes=HALF_ORBIT_MINUTES)
        start, end = middle - half, middle + half
        orbit = 2 * (middle.date() - date(2000, 1, 1)).days + is_ascending
        return (
            f"1C.{satellite}.{sensor}.{calibration}.{start:%Y%m%d}-S{start:%H%M%S}-E{end:%H%M%S}."
            f"{orbit:06d}.V07A.HDF5"
        )

    def content(measured: Measured, lon: Doubles, lat: Doubles, scans: Scans) -> bytes:
        with h5py.File("l1c", "w", driver="core", backing_store=False) as file:
            file.attrs["FileHeader"] = np.bytes_(
                f"AlgorithmID=1C{sensor};\nInstrumentName={sensor};\nSatelliteName={satellite};\n"
                "ProductVersion=V07A;\nProcessingSystem=smcloud simulate: not GPM data;\n"
            )
            for group, band, told, horn in SWATHS:
                _write_swath(file.create_group(group), measured, band, (lon, lat), scans)
                long_name = f"Intercalibrated Tb for channels 1) {told} V-Pol{horn} and 2) {told} "
                file[f"{group}/Tc"].attrs["LongName"] = np.bytes_(f"{long_name}H-Pol{horn}")
            file.flush()
            data: bytes = file.id.get_file_image()
        return data

    return OrbitProduct(file_name, content)


def _write_swath(
    group: h5py.Group,
    measured: Measured,
    band: str,
    places: tuple[Doubles, Doubles],
    scans: Scans,
) -> None:
    """Write one swath: places, brightness, quality, times and the satellite's latitude."""
    lon, lat = places
    is_low = band in ("10", "18")
    codes = np.where(measured.is_disturbed & is_low, DISTURBED, 0).astype(np.int8)
    layers = {
        "Longitude": (scans.lay(lon.astype(np.float32), FILL), "degree"),
        "Latitude": (scans.lay(lat.astype(np.float32), FILL), "degree"),
        "Tc": (scans.lay(measured.brightness_k[band], FILL), "K"),
        "Quality": (scans.lay(codes, -1), ""),
    }
    for name, (values, units) in layers.items():
        layer = group.create_dataset(name, data=values)
        fill = np.int8(-99) if values.dtype == np.int8 else np.float32(FILL)
        layer.attrs["_FillValue"] = fill
        layer.attrs["CodeMissingValue"] = np.bytes_(f"{fill:g}")
        if units:
            layer.attrs["units"] = np.bytes_(units)
    times = group.create_group("ScanTime")
    days = scans.times.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    times["Year"] = (days.astype("datetime64[Y]").astype(int) + 1970).astype(np.int16)
    times["Month"] = (months.astype(int) % 12 + 1).astype(np.int8)
    times["DayOfMonth"] = ((days - months).astype(int) + 1).astype(np.int8)
    times["SecondOfDay"] = (scans.times - days).astype(np.float64) / 1000.0
    group["SCstatus/SClatitude"] = scans.lat.astype(np.float32)


def mwri_product() -> OrbitProduct:
    """Return the product of MWRI on FengYun-3B, whose layers lie at the root of its files."""

    def file_name(middle: datetime, is_ascending: bool) -> str:
        start = middle - timedelta(minutes=HALF_ORBIT_MINUTES // 2)
        half = "A" if is_ascending else "D"
        return f"FY3B_MWRI{half}_GBAL_L1_{start:%Y%m%d_%H%M}_010KM_MS.HDF"

    def content(measured: Measured, lon: Doubles, lat: Doubles, scans: Scans) -> bytes:
        kelvin = np.concatenate([measured.brightness_k[band.word] for band in BANDS], axis=1)
        stored = np.rint((kelvin - MWRI_INTERCEPT) / MWRI_SLOPE).astype(np.int16)
        # No quality word: a footprint that is none has a place that is none.
        laid = np.moveaxis(scans.lay(stored, 0), -1, 0)
        since = scans.times - np.datetime64(MWRI_EPOCH, "ms")
        with h5py.File("mwri", "w", driver="core", backing_store=False) as file:
            layer = file.create_dataset("EARTH_OBSERVE_BT_10_to_89GHz", data=laid)
            layer.attrs["Slope"] = np.array([MWRI_SLOPE], np.float32)
            layer.attrs["Intercept"] = np.array([MWRI_INTERCEPT], np.float32)
            for name, values in (("Longitude", lon), ("Latitude", lat)):
                laid_out = scans.lay(values.astype(np.float32), FILL)
                file.create_dataset(name, data=laid_out)
            days = since.astype("timedelta64[D]")
            file["Scan_Daycnt"] = days.astype(np.int32)[:, None]
            file["Scan_Mscnt"] = (since - days).astype(np.float64)[:, None]
            file.attrs["Satellite Name"] = np.bytes_("FY-3B")
            file.flush()
            data: bytes = file.id.get_file_image()
        return data

    return OrbitProduct(file_name, content)


AMSR2_L1C = l1c_product("AMSR2", "GCOMW1", "XCAL2016-V")
AMSRE_L1C = l1c_product("AMSRE", "AQUA", "XCAL2017-V")
MWRI_L1 = mwri_product()
