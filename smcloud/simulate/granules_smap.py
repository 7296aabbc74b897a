"""SMAP soil moisture as HDF5: SPL3SMP (36 km), SPL3SMP_E (9 km), SPL2SMAP_S (1 km).

Groups, names, types, fill values and bits follow the data fields that NSIDC documents. The daily
products hold a morning and an evening group, whose evening names end in ``_pm``. The 1 km product,
made with Sentinel-1, comes as scenes: rectangles of the 1 km EASE-Grid where its swath met one of
SMAP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import h5py
import numpy as np

from smcloud.simulate.footprints import Ints
from smcloud.simulate.granules_hdf5 import CellArrays, Field, Template
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.noise import Doubles

FILL = -9999.0
WORD_FILL = 65534
NOT_RECOMMENDED, NOT_ATTEMPTED, NOT_SUCCESSFUL = 1, 2, 4
LEAST, GREATEST = 0.02, 0.5
"""Valid range of soil moisture, m3 m-3."""
GREATEST_1KM = 0.75
_RELEASE = "R18290_001"
_SCENE_RELEASE = "R17000_001"
HALVES = {"AM": "", "PM": "_pm"}
"""Halves of a day, and what names in the group of a half end in."""
_GROUP = "Soil_Moisture_Retrieval_Data_{}"


@dataclass(frozen=True)
class DailyProduct:
    """A daily global product: its short name and the stem of its file names."""

    short_name: str
    stem: str

    def file_name(self, day: date) -> str:
        """Return the name of the file of a day."""
        return f"{self.stem}_{day:%Y%m%d}_{_RELEASE}.h5"


SPL3SMP = DailyProduct("SPL3SMP", "SMAP_L3_SM_P")
SPL3SMP_E = DailyProduct("SPL3SMP_E", "SMAP_L3_SM_P_E")


@dataclass(frozen=True)
class Retrievals:
    """What one half of a daily file, or a scene, holds at some cells: (n,) each.

    Attributes
    ----------
    soil_moisture : float array
        m3 m-3; NaN where not retrieved.
    quality, surface : uint16 array
        ``retrieval_qual_flag`` and ``surface_flag``.
    is_seen : bool array
        Cells within the swath; all others are fill in every array.
    """

    soil_moisture: Array
    quality: Array
    surface: Array
    is_seen: Array

    def of(self, cells: Ints) -> "Retrievals":
        """Return the retrievals of some of the cells."""
        return Retrievals(*(values[cells] for values in vars(self).values()))


def _moisture(name: str, greatest: float) -> Field:
    return Field(
        name,
        "float32",
        FILL,
        {
            "long_name": "Representative soil moisture measurement for the Earth based grid cell.",
            "units": "cm**3/cm**3",
            "_FillValue": np.float32(FILL),
            "valid_min": np.float32(LEAST),
            "valid_max": np.float32(greatest),
        },
    )


def _words(name: str, text: str) -> Field:
    return Field(name, "uint16", WORD_FILL, {"long_name": text, "_FillValue": np.uint16(WORD_FILL)})


def _degrees(name: str) -> Field:
    return Field(name, "float32", FILL, {"units": "degrees", "_FillValue": np.float32(FILL)})


class DailyFiles:
    """Makes the daily files of one product over some cells (centres in degrees)."""

    def __init__(
        self, product: DailyProduct, cells: CellArrays, lon: Doubles, lat: Doubles
    ) -> None:
        self._product, self._cells, self._centres = product, cells, (lat, lon)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        _identify(file, self._product.short_name)
        everywhere = np.ones(self._centres[0].shape, bool)
        for half, suffix in HALVES.items():
            group = file.create_group(_GROUP.format(half))
            for field in _fields(suffix, GREATEST):
                self._cells.create(group, field)
            for name, values in zip(("latitude", "longitude"), self._centres, strict=True):
                dataset = self._cells.create(group, _degrees(name + suffix))
                self._cells.store(dataset, values, everywhere)

    def file(self, halves: Mapping[str, Retrievals]) -> bytes:
        """Return the content of the file of a day; `halves` are ``AM`` and ``PM``."""

        def fill(file: h5py.File) -> None:
            for half, suffix in HALVES.items():
                _store(file[_GROUP.format(half)], self._cells, halves[half], suffix)

        return self._template.copy(fill)


def _identify(file: h5py.File, short_name: str) -> None:
    told = file.create_group("Metadata/DatasetIdentification")
    told.attrs["shortName"] = short_name
    told.attrs["abstract"] = "written by smcloud simulate: not SMAP data"


def _fields(suffix: str, greatest: float) -> list[Field]:
    """Return the three arrays that every product has."""
    return [
        _moisture(f"soil_moisture{suffix}", greatest),
        _words(f"retrieval_qual_flag{suffix}", "Bit flags of the quality of the retrieval."),
        _words(f"surface_flag{suffix}", "Bit flags of ancillary surface conditions."),
    ]


def _store(group: h5py.Group, cells: CellArrays, held: Retrievals, suffix: str) -> None:
    moisture = held.soil_moisture
    known = held.is_seen & ~np.isnan(moisture)
    cells.store(group[f"soil_moisture{suffix}"], moisture, known)
    cells.store(group[f"retrieval_qual_flag{suffix}"], held.quality, held.is_seen)
    cells.store(group[f"surface_flag{suffix}"], held.surface, held.is_seen)


@dataclass(frozen=True)
class Scene:
    """A rectangle of the 1 km grid that one SMAP/Sentinel-1 file covers.

    Attributes
    ----------
    row, col : int
        Its north-west cell.
    shape : (int, int)
    lon, lat : float
        Its place in whole degrees, for the name.
    """

    row: int
    col: int
    shape: tuple[int, int]
    lon: int
    lat: int

    def file_name(self, sentinel: datetime, smap: datetime) -> str:
        """Return the name of the file of two overpasses, UTC."""
        east = f"{abs(self.lon):03d}{'E' if self.lon >= 0 else 'W'}"
        north = f"{abs(self.lat):02d}{'N' if self.lat >= 0 else 'S'}"
        return (
            f"SMAP_L2_SM_SP_1AIWDV_{sentinel:%Y%m%dT%H%M%S}_{smap:%Y%m%dT%H%M%S}_{east}{north}_"
            f"{_SCENE_RELEASE}.h5"
        )


class SceneFiles:
    """Makes the files of one scene; the cells count from its north-west."""

    def __init__(self, scene: Scene, cells: CellArrays) -> None:
        self._scene, self._cells = scene, cells
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        _identify(file, "SPL2SMAP_S")
        group = file.create_group(_GROUP.format("1km"))
        for field in _fields("_1km", GREATEST_1KM):
            self._cells.create(group, field)
        rows, cols = self._scene.shape
        _index(group, "EASE_row_index_1km", self._scene.row + np.arange(rows)[:, None], cols)
        _index(group, "EASE_column_index_1km", self._scene.col + np.arange(cols)[None], rows)

    def file(self, held: Retrievals) -> bytes:
        """Return the content of the file of one visit."""
        return self._template.copy(
            lambda file: _store(file[_GROUP.format("1km")], self._cells, held, "_1km")
        )


def _index(group: h5py.Group, name: str, values: Ints, repeat: int) -> None:
    """Write the global rows or columns of all cells of a scene."""
    axis = 1 if values.shape[1] == 1 else 0
    dataset = group.create_dataset(
        name,
        data=np.repeat(values, repeat, axis=axis).astype(np.uint16),
        chunks=True,
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fillvalue=np.uint16(WORD_FILL),
    )
    dataset.attrs["_FillValue"] = np.uint16(WORD_FILL)
