"""MCD43D albedo: one product a band and sky, daily, 30 arc seconds, the whole globe in each file.

HDF-EOS2 (HDF4) in latitude and longitude, 21600 x 43200 cells, one layer a file: int16, scale
0.001, fill 32767 (LP DAAC, pages of the products). Makers and readers write the names of layers
with and without ``Global_`` in front. A layer would take 4 GB, so that only the cells around the
wanted pixels are read, and a file is open while its own are. What says the quality of a day lies in
files of their own: MCD43D31, the inversion of each band, and MCD43D40, the state of snow.

What a code means is in `MCD43D`, because one published product took MCD43D58 for its albedo, which
is that of band 7 at 2.1 um and not the broadband one (trap T2).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import GLOBAL30S, SIN1KM, Window
from smcloud.grids.regrid import Weights, bilinear
from smcloud.grids.tiles import GLOBE, TileYear, tile_window
from smcloud.sources.base import Granule, steps_dataset
from smcloud.sources.day_files import LazyLayer, Window2, lazy
from smcloud.sources.hdf_eos import Floats, GridFile, Layer, Word, check_product, open_grid_file
from smcloud.sources.modis import COLLECTIONS, UNKNOWN_INT16, albedo_variables, tile_schema
from smcloud.sources.packing import Coded
from smcloud.sources.quality import SNOW_FREE, SNOW_RULES, check_rule, keep_mcd43d, kept
from smcloud.sources.tile_files import day_of_year

SLAB_DAYS = 16
"""Files of a slab lie on the worker's disk at once: 200 MB each where they come from a bucket."""
QUALITY, SNOW = "MCD43D31", "MCD43D40"
_SHAPE = GLOBAL30S.window.shape
_DIMS = ("time", "latitude", "longitude")
_NAME = re.compile(
    r"(?P<code>MCD43D\d{2})\.A(?P<day>\d{7})\.(?P<collection>\d{3})\.(?P<made>\d{13})\.hdf"
)
_CORNERS = re.compile(
    r"UpperLeftPointMtrs=\(-180(?:000000)?\.0*,90(?:000000)?\.0*\)\s*"
    r"LowerRightMtrs=\(180(?:000000)?\.0*,-90(?:000000)?\.0*\)"
)
"""The edges of the globe, in degrees or as HDF-EOS packs degrees, minutes and seconds."""


@dataclass(frozen=True)
class AlbedoProduct:
    """What one of the products MCD43D42 to MCD43D61 holds."""

    code: str
    sky: str
    band: str

    @property
    def is_shortwave(self) -> bool:
        """Say whether it is the broadband shortwave albedo, not that of a band."""
        return self.band == "shortwave"

    @property
    def layer(self) -> str:
        """Return the name of the layer in a file."""
        sky = "BSA" if self.sky == "black-sky" else "WSA"
        return f"BRDF_Albedo_{sky}_{_BANDS[self.band]}"

    @property
    def quality_layer(self) -> str:
        """Return the layer of MCD43D31 that says how it was inverted: its own, or overall."""
        band = _BANDS[self.band]
        return f"BRDF_Albedo_Band_Quality_{band}" if band.startswith("Band") else "BRDF_Quality"


_BANDS: Mapping[str, str] = {
    **{f"band {band}": f"Band{band}" for band in range(1, 8)},
    "visible": "VIS",
    "near infrared": "NIR",
    "shortwave": "Shortwave",
}
"""Bands in the order of the codes, and how names of layers have them."""


MCD43D: Mapping[str, AlbedoProduct] = {
    code: AlbedoProduct(code, sky, band)
    for first, sky in ((42, "black-sky"), (52, "white-sky"))
    for number, band in enumerate(_BANDS)
    for code in [f"MCD43D{first + number}"]
}
"""Product codes and their meaning (MODIStsp's table of products). White-sky shortwave is MCD43D61,
black-sky shortwave MCD43D51; MCD43D58 is white-sky of band 7."""


def albedo_product(code: str) -> AlbedoProduct:
    """Return what a product code of MCD43D means.

    Raises
    ------
    ConfigError
        If the code is none of the albedo products.
    """
    if code not in MCD43D:
        raise ConfigError(
            f"{code!r} is no albedo product: expected MCD43D42 to MCD43D61 "
            "(white-sky shortwave is MCD43D61, black-sky shortwave MCD43D51)"
        )
    return MCD43D[code]


class _Cells(LazyLayer):
    """The layer of a file, (1, rows, cols): albedo as float32, NaN unknown, or words as stored."""

    def __init__(self, path: Path, what: Layer | Word) -> None:
        self._path, self._what = path, what
        super().__init__(_SHAPE, np.float32 if isinstance(what, Layer) else np.uint8)

    def _read(self, window: Window2) -> NDArray[Any]:
        (row0, row1, _), (col0, col1, _) = (
            one.indices(size) for one, size in zip(window, _SHAPE, strict=True)
        )
        part = Window(row0, row1, col0, col1)
        with open_grid_file(self._path) as file:
            if isinstance(self._what, Word):
                return file.words(self._what, _SHAPE, part)
            return Coded(*file.codes(self._what, _SHAPE, part), self._what.fill).physical()


@dataclass(frozen=True)
class Mcd43d:
    """Reader of one of the products, and of the quality beside it."""

    product: AlbedoProduct
    variable: Variable
    quality_rules: tuple[str, ...] = SNOW_RULES
    joins_granules: bool = True
    lookahead_days: int = 0
    schema: CubeSchema = field(init=False)

    def __post_init__(self) -> None:
        title = f"MODIS {self.product.sky} albedo, {self.product.band}, daily, 30 arc seconds"
        schema = tile_schema(self.name, title, (self.variable,), 1, SLAB_DAYS)
        object.__setattr__(self, "schema", schema)

    @property
    def name(self) -> str:
        """Return the word of the command line, such as ``mcd43d61``."""
        return self.product.code.lower()

    @property
    def title(self) -> str:
        """Return one line for people."""
        return self.schema.title

    def scenes(self, quality: str) -> tuple[str, ...]:
        """Return the products of a day that a quality rule needs, the albedo's first."""
        words = {condition.word for condition in keep_mcd43d(quality or self.quality_rules[0])}
        files = {"quality": QUALITY, "snow": SNOW}
        return self.product.code, *(files[word] for word in sorted(words))

    def identify(self, name: str) -> Granule | None:
        """Return what ``MCD43D61.A2019001.061.<production>.hdf`` says, or its quality's name."""
        found = _NAME.fullmatch(name)
        if found is None or found["code"] not in self.scenes(SNOW_FREE):
            return None
        try:
            day = day_of_year(found["day"])
        except ValueError:
            return None
        return Granule(self.name, GLOBE, day, day, found["made"], name, found["code"])

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say yes: each file holds the whole globe."""
        del granule, key
        return True

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return a day of the globe, dims (time, latitude, longitude), its cells read when used.

        A file of albedo holds the variable of the cube; others the word ``quality`` or ``snow``.

        Raises
        ------
        GranuleError
            If the file is damaged, of another product, collection or grid, or has other layers.
        """
        rule = check_rule(quality, self.quality_rules, self.name)
        granule = self.identify(path.name)
        if granule is None:
            raise GranuleError(
                f"{path.name}: expected a name like {self.product.code}.A2019001.061.*.hdf"
            )
        with open_grid_file(path) as file:
            check_product(file, granule.scene, COLLECTIONS)
            _check_grid(file)
            name, what, units = self._layer(file, granule.scene)
        return xr.Dataset(
            {name: lazy(_Cells(path, what), _DIMS, {"units": units})},
            coords={"time": np.array([granule.start], "datetime64[ns]")},
            attrs={"source": self.name, "file": path.name, "rule": rule},
        )

    def _layer(self, file: GridFile, scene: str) -> tuple[str, Layer | Word, str]:
        """Return the name that a file's layer has here, how it must look, and its units."""
        if scene == QUALITY:
            return "quality", Word(_present(file, self.product.quality_layer), ("uint8",)), "1"
        if scene == SNOW:
            return "snow", Word(_present(file, "Snow_Status", "Snow_BRDF_Albedo"), ("uint8",)), "1"
        found = _present(file, self.product.layer)
        layer = Layer(found, ("int16", "uint16"), 0.001, 32767, (0, 1000))
        return self.variable.name, layer, self.variable.units

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the days that there is albedo of, in order, on the pixels of a tile.

        Cells that the quality rule refuses are unknown, and so is a day without a file that the
        rule needs. A pixel is interpolated between the cells around its centre.
        """
        home = tile_window(SIN1KM, key.tile)
        window = home if within is None else home.intersect(within) or home
        by_day, places = _by_day(datasets, key.year), _places(window)
        days = sorted(day for day, found in by_day.items() if self.variable.name in found)
        values = np.full((len(days), *window.shape), np.nan, np.float32)
        for number, day in enumerate(days if places.known.any() else ()):
            values[number][places.known] = places.weights.apply(self._cells(by_day[day], places))
        for day in sorted(by_day.keys() - set(days)):
            # Damage shows when cells are read: a file is looked at where it stands alone too.
            for name, dataset in by_day[day].items():
                places.cells_of(dataset[name])
        own_days = np.array(days, "datetime64[D]")
        return steps_dataset(self.schema, {self.variable.name: values}, own_days, window)

    def _cells(self, found: Mapping[str, xr.Dataset], places: "_Places") -> Floats:
        """Return the albedo of the cells that some pixels need, NaN where the rule refuses it."""
        albedo = found[self.variable.name]
        values = places.cells_of(albedo[self.variable.name])
        conditions = keep_mcd43d(str(albedo.attrs["rule"]))
        if any(condition.word not in found for condition in conditions):
            return np.full_like(values, np.nan)
        if conditions:
            words = {one.word: places.cells_of(found[one.word][one.word]) for one in conditions}
            np.copyto(values, np.float32(np.nan), where=~kept(words, conditions))
        return values


def _by_day(
    datasets: Sequence[xr.Dataset], year: int | None
) -> dict[np.datetime64, dict[str, xr.Dataset]]:
    """Return the files of each day of a year by what they hold."""
    found: dict[np.datetime64, dict[str, xr.Dataset]] = {}
    for dataset in datasets:
        day = dataset["time"].values[0].astype("datetime64[D]")
        if day.astype(object).year == year:
            for name in map(str, dataset.data_vars):
                found.setdefault(day, {}).setdefault(name, dataset)
    return found


def _present(file: GridFile, *names: str) -> str:
    """Return which of some names of a layer a file has, with ``Global_`` in front or without."""
    every = file.layers()
    found = [name for name in every if name.removeprefix("Global_") in names]
    if len(found) != 1:
        raise GranuleError(
            f"{file.path.name}: expected a layer {' or '.join(names)}, found "
            + (", ".join(every[:6]) or "none")
        )
    return found[0]


def _check_grid(file: GridFile) -> None:
    """Raise `GranuleError` unless the metadata say latitude and longitude and the whole globe."""
    text = file.metadata("StructMetadata.0")
    if "Projection=GCTP_GEO" not in text or _CORNERS.search(text) is None:
        raise GranuleError(
            f"{file.path.name}: expected latitude and longitude of the whole globe, found another "
            "grid"
        )


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the centres of pixels lie between the cells: which are on the globe, and weights."""

    known: NDArray[np.bool_]
    weights: Weights

    def cells_of(self, layer: xr.DataArray) -> NDArray[Any]:
        """Return the cells around all pixels, (rows, cols); columns go around the globe."""
        need = self.weights.window
        edge = GLOBAL30S.cols
        spans = [(need.col0, min(need.col1, edge)), (max(need.col0, edge), need.col1)]
        parts = [
            layer.variable[0, need.row0 : need.row1, first % edge : first % edge + last - first]
            for first, last in spans
            if first < last
        ]
        return np.concatenate([part.values for part in parts], axis=1)


@lru_cache(maxsize=2)
def _places(window: Window) -> _Places:
    lon, lat = SIN1KM.lonlat(window)
    known = np.isfinite(lon)
    if not known.any():  # a tile's corner off the globe has no weights, and needs none
        return _Places(known, bilinear(GLOBAL30S, np.zeros(1), np.zeros(1)))
    return _Places(known, bilinear(GLOBAL30S, lon[known], lat[known]))


def _band7() -> Variable:
    return Variable(
        "albedo_wsa_band7",
        "int16",
        "1",
        "white-sky albedo at 2105-2155 nm (band 7)",
        (0.0, 1.0),
        scale=0.0001,
        fill=UNKNOWN_INT16,
    )


_WHITE, _BLACK = albedo_variables()
MCD43D51 = Mcd43d(albedo_product("MCD43D51"), _BLACK)
MCD43D58 = Mcd43d(albedo_product("MCD43D58"), _band7())
MCD43D61 = Mcd43d(albedo_product("MCD43D61"), _WHITE)
