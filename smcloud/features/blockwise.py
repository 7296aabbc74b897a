"""Features of one block of the output grid: driver cubes in, columns of land pixels out.

`FeatureReader.read` does all I/O; `FeatureReader.compute` is pure. The station table and
production both go through them, so training and production cannot differ. Every step is elementwise
over points and days, or depends on a halo of fixed size, so that any cut of the globe into blocks
and of the year into slabs gives the same bits.

Rules at edges. A halo in time is read from the neighbouring years' cubes; where those do not exist,
or a neighbouring tile was never ingested, its values are unknown: composites hold their nearest
neighbour for one period (`composites`), antecedent rain is weighted up while enough of it is known
(`temporal`). Years and pixels that are asked for must exist: a missing cube or object raises.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.cube.schema import CubeSchema
from smcloud.cube.sharded import Batch
from smcloud.features.catalogue import COLDEST
from smcloud.features.composites import WORK_ELEMENTS
from smcloud.features.inputs import (
    BlockInputs,
    Cells,
    Part,
    Points,
    Request,
    Series,
    lonlat_around,
)
from smcloud.features.reads import Kind, cells_of, kind_of, reads_of, schemas_of
from smcloud.features.sink import FloatSink, Sink
from smcloud.features.slab import CELL_DAYS, Column, Slab
from smcloud.features.spec import (
    POSITION,
    CubeSet,
    Days,
    Driver,
    Feature,
    Flags,
    Floats32,
    Quality,
    split_input,
)
from smcloud.grids.grid import Window, grid_named
from smcloud.grids.regrid import Weights, bilinear, nearest

LST_PREFIX = "lst_"
ALLOCATOR_FACTOR = 1.05
"""Resident over asked-for bytes: freed pages that the allocator keeps, as measured."""
FUNCTION_ARRAYS = 5
"""Arrays of one size that a function of features needs beside its inputs, the result among them."""
FLAGGED_ARRAYS = 2
"""Values from coarse cells and what their flags are made of, rounded up."""
STORE_BYTES = 32 * 2**20
"""Metadata, indexes and codecs of the driver cubes, once open, as measured for eight of them."""


@dataclass(frozen=True)
class Columns:
    """Features of the land pixels of a block, ready for a model.

    Attributes
    ----------
    names : tuple of str
        Feature names in order.
    values : float32 (n_features, n_days, n_points), C-contiguous
        NaN for unknown.
    flags : uint8 (n_days, n_points)
        Bits of `Quality`.
    days : datetime64[D] (n_days,)
    """

    names: tuple[str, ...]
    values: Floats32
    flags: Flags
    days: Days


class FeatureReader:
    """Reads and computes features in a fixed order; picklable, for it holds URLs and records.

    Parameters
    ----------
    features : sequence of Feature
        Columns, in order (`catalogue.features_named`).
    drivers : sequence of Driver
        How each source is brought to the grid and the day.
    cubes : CubeSet
        Where the driver cubes lie.
    grid : str
        The output grid.
    schemas : mapping, optional
        Schema of each source; those of the sources themselves by default.

    Raises
    ------
    UserError
        If a feature needs a driver or a layer that there is not, or cannot be computed as asked.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        drivers: Sequence[Driver],
        cubes: CubeSet,
        grid: str = "sin1km",
        schemas: Mapping[str, CubeSchema] | None = None,
    ) -> None:
        self.features = tuple(features)
        self.cubes = cubes
        self.grid = grid_named(grid)
        self.drivers = {driver.source: driver for driver in drivers}
        self._watches_frost = set(COLDEST.sources) <= set(self.drivers)
        read = (*self.features, *([COLDEST] if self._watches_frost else []))
        self.schemas = schemas_of(read, self.drivers, schemas)
        kinds = [kind_of(one, self.drivers, self.schemas) for one in self.features]
        self._columns = [
            Column(number, feature, kind, self._unknown_bit(feature, kind))
            for number, (feature, kind) in enumerate(zip(self.features, kinds, strict=True))
        ]
        self._reads = reads_of(read, self.drivers, self.schemas)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources whose cubes are read, sorted."""
        return self._reads.sources

    def halo_days(self, source: str) -> tuple[int, int]:
        """Return how many days before and after a block the cubes of one source are read."""
        return self._reads.halos.get(source, (0, 0))

    def read(self, window: Window, days: Days, points: NDArray[np.integer[Any]]) -> BlockInputs:
        """Return the stored inputs of a block with their halos.

        Parameters
        ----------
        window
            Pixels of the output grid, best whole inner chunks: they are decoded whole anyhow.
        days
            Consecutive datetime64[D].
        points
            Flat indices of the land pixels within the window, ascending.

        Raises
        ------
        UserError
            If there are no points or the days are not consecutive.
        CubeError
            If a cube has other units, dtype, CRS or days than its schema, or lacks an object.
        NotFoundError
            If a cube of the years asked for, or a static one, does not exist.
        """
        days = np.asarray(days, "datetime64[D]")
        land: Points = np.asarray(points, np.intp)
        _check_block(days, land, window)
        coarse = self._weights(window, land)
        batch = Batch()
        series = {
            name: self._series(name, days, window, coarse, land, batch)
            for name in self._reads.series
        }
        static = self._static(window, land, batch)
        batch.complete()
        found = {
            key: part.variable.unpack(part.stored) if isinstance(part, Part) else part
            for key, part in static.items()
        }
        return BlockInputs(window, days, land, series, found, coarse)

    def _series(
        self,
        name: str,
        days: Days,
        window: Window,
        coarse: Mapping[Cells, Weights],
        land: Points,
        batch: Batch,
    ) -> Series:
        source, variable = split_input(name)
        before, after = self.halo_days(source)
        schema = self.schemas[source]
        weights = coarse.get(cells_of(self.drivers[source], self.schemas))
        numbers = days.astype(np.int64)
        first, last = int(numbers[0]), int(numbers[-1])
        return Request(
            schema,
            self.cubes,
            (first, last),
            (first - before, last + after),
            window if weights is None else weights.window,
            land if weights is None else None,
        ).series(variable, batch)

    def _weights(self, window: Window, points: Points) -> dict[Cells, Weights]:
        drivers = {self.drivers[split_input(name)[0]] for name in self._reads.series}
        used = {cells_of(one, self.schemas) for one in drivers if one.to_grid != "native"}
        if not used:
            return {}
        lon, lat = (array.reshape(-1)[points] for array in self.grid.lonlat(window))
        ways = {"bilinear": bilinear, "nearest": nearest}
        return {(grid, way): ways[way](grid_named(grid), lon, lat) for grid, way in sorted(used)}

    def _static(
        self, window: Window, points: Points, batch: Batch
    ) -> dict[tuple[str, int], Floats32 | Part]:
        """Return positions, and static layers as stored once `batch` is completed."""
        found: dict[tuple[str, int], Floats32 | Part] = {}
        for name, halo in self._reads.static:
            source, variable = split_input(name)
            if source == POSITION:
                lon, lat = lonlat_around(self.grid, window, halo)
                values = lon if variable == "longitude" else lat
                found[name, halo] = values if halo else values.reshape(-1)[points]
            else:
                request = Request(self.schemas[source], self.cubes, (0, 0), (0, 0), window, points)
                found[name, halo] = request.static(variable, halo, batch)
        return found

    def compute(self, inputs: BlockInputs, days: slice = slice(None)) -> Columns:
        """Return the columns of a block, or of a slab of its days (a slice into `inputs.days`)."""
        of_slab = inputs.days[days]
        sink = FloatSink(len(self.features), len(of_slab), len(inputs.points))
        flags = self.compute_into(inputs, days, sink)
        return Columns(self.names, sink.values, flags, of_slab)

    def compute_into(self, inputs: BlockInputs, days: slice, sink: Sink) -> Flags:
        """Hand the columns of a slab of days to `sink`; return its flags, (n_days, n_points) uint8.

        Parameters
        ----------
        inputs
            What `read` returned.
        days
            A slice into `inputs.days`; it does not change any value.
        sink
            Receives column after column, numbered as `names`, each in pieces of days.

        Raises
        ------
        UserError
            If `days` are not at least one day, or not consecutive.
        """
        start, stop, step = days.indices(len(inputs.days))
        if step != 1 or stop <= start:
            raise UserError(f"days {days} of {len(inputs.days)} are not a slab of at least one day")
        slab = Slab(inputs, self.drivers, self.schemas, start, stop)
        slab.feed(self._columns, sink)
        slab.flag_unknown_lst([name for name in self._reads.series if _is_lst(name)])
        if self._watches_frost:
            slab.flag_frost(COLDEST)
        return slab.flags

    def _unknown_bit(self, feature: Feature, kind: Kind) -> Quality | None:
        """Return the bit that says a feature is unknown; of daily satellites only LST has one."""
        if kind is Kind.STATIC:
            return Quality.STATIC_MISSING if feature.sources else None
        drivers = [self.drivers[source] for source in feature.sources]
        if any(driver.to_grid == "bilinear" for driver in drivers):
            return Quality.REANALYSIS_MISSING
        if any(driver.to_days == "linear" for driver in drivers):
            return Quality.COMPOSITE_MISSING
        return None

    def estimate_bytes(
        self,
        n_days: int,
        n_points: int,
        *,
        slab_days: int | None = None,
        window_pixels: int | None = None,
        row_bytes: int | None = None,
    ) -> int:
        """Return the peak bytes of reading a block and computing it, inputs and columns included.

        Parameters
        ----------
        n_days, n_points
            What is read at once.
        slab_days
            Days computed at once; all by default.
        window_pixels
            Pixels of the window, of which `n_points` are land; by default all are.
        row_bytes
            Bytes that the sink holds of a row (a pixel and day); float columns by default.
        """
        slab_days = min(slab_days or n_days, n_days)
        pixels = max(window_pixels or n_points, n_points)
        if row_bytes is None:
            row_bytes = FloatSink.bytes_per_value * len(self.features)
        held, decoding = self._read_parts(n_days, n_points, pixels)
        columns = (row_bytes + 1) * slab_days * n_points
        arrays = held + max(decoding, columns + 4 * self._values_in_work(slab_days, n_points))
        return STORE_BYTES + math.ceil(ALLOCATOR_FACTOR * arrays)

    def read_bytes(self, n_days: int, n_points: int, window_pixels: int) -> int:
        """Return the peak bytes of `read` alone, the cubes being open: of a block read ahead."""
        return math.ceil(ALLOCATOR_FACTOR * sum(self._read_parts(n_days, n_points, window_pixels)))

    def _read_parts(self, n_days: int, n_points: int, pixels: int) -> tuple[int, int]:
        """Return the bytes that a block's inputs hold, and those of the largest chunks decoded."""
        held = self._reads.held_bytes(n_days, n_points, pixels)
        return held, self._reads.largest_fetch(n_days, pixels)

    def _values_in_work(self, slab_days: int, n_points: int) -> int:
        """Return the most float32 values beside inputs and columns while a feature is computed."""
        of_kind = {kind: [c.feature for c in self._columns if c.kind is kind] for kind in Kind}
        most_inputs = max((len(one.inputs) for one in of_kind[Kind.COMPOSITES]), default=0)
        composites = self._reads.most_composites(slab_days) * n_points
        piece = max(WORK_ELEMENTS, n_points)
        shared = {(name, one.halo) for one in of_kind[Kind.DAILY] for name in one.inputs}
        halos = sum(halo.days_before + halo.days_after for _, halo in shared)
        has_cells = self._watches_frost or of_kind[Kind.CELLS]
        at_once = min(slab_days, max(CELL_DAYS, WORK_ELEMENTS // n_points))
        return max(
            (FUNCTION_ARRAYS + most_inputs) * composites if most_inputs else 0,
            (FUNCTION_ARRAYS + len(shared)) * piece + halos * n_points,
            FLAGGED_ARRAYS * at_once * n_points if has_cells else 0,
        )


def _is_lst(name: str) -> bool:
    return split_input(name)[1].startswith(LST_PREFIX)


def _check_block(days: Days, points: Points, window: Window) -> None:
    if not points.size:
        raise UserError(f"{window} has no points to read: leave blocks without land out")
    if days.size == 0 or (np.diff(days.astype(np.int64)) != 1).any():
        raise UserError(f"a block needs consecutive days, found {days.size} with gaps or none")
