"""What a set of features needs to be read: variables, halos and the bytes they take."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from smcloud.core.errors import UserError
from smcloud.core.objects import READS_AHEAD
from smcloud.cube.schema import CubeSchema
from smcloud.features.composites import MAX_GAP_STEPS
from smcloud.features.derived import schema_named
from smcloud.features.inputs import Cells
from smcloud.features.spec import (
    CALENDAR,
    PSEUDO_SOURCES,
    Driver,
    Feature,
    as_stored,
    split_input,
)

COMPOSITE_DAY = "composite_day"
WEIGHT_BYTES = 20
"""Bytes of the weights of a point: its cell, and the shares of four."""
Schemas = Mapping[str, CubeSchema]
Drivers = Mapping[str, Driver]


class Kind(Enum):
    """Where a feature is computed, before it is brought to daily values at points."""

    STATIC = "at points, once"
    COMPOSITES = "at points, on composites"
    CELLS = "on coarse cells, daily"
    STORED = "at points, daily, as the integers that are stored"
    DAILY = "at points, daily"


def cells_of(driver: Driver, schemas: Schemas) -> Cells:
    """Return the coarse grid of a driver and how its cells reach the points."""
    return schemas[driver.source].grid, driver.to_grid


def kind_of(feature: Feature, drivers: Drivers, schemas: Schemas) -> Kind:
    """Return where a feature is computed.

    Raises
    ------
    UserError
        If a feature with a halo of pixels has other than static inputs.
    """
    used = [drivers[source] for source in feature.sources]
    pseudo = {split_input(name)[0] for name in feature.inputs} & set(PSEUDO_SOURCES)
    halo = feature.halo
    if CALENDAR not in pseudo and all(driver.to_days == "static" for driver in used):
        return Kind.STATIC
    if halo.pixels:
        raise UserError(
            f"feature {feature.name!r} has a halo of pixels, which only static inputs may have"
        )
    if pseudo:
        return Kind.DAILY
    if len(used) == 1 and used[0].to_days == "linear" and not halo.days_before + halo.days_after:
        return Kind.COMPOSITES
    is_coarse = all(driver.to_grid != "native" for driver in used)
    if is_coarse and len({cells_of(driver, schemas) for driver in used}) == 1:
        return Kind.CELLS
    is_whole = feature.function is as_stored and not halo.days_before + halo.days_after
    is_daily = used[0].to_grid == "native" and used[0].to_days == "daily"
    return Kind.STORED if is_whole and is_daily else Kind.DAILY


@dataclass(frozen=True)
class Reads:
    """The variables behind a set of features.

    Attributes
    ----------
    series : tuple of str
        Inputs with a time axis, sorted; the composites' own dates among them.
    static : tuple of (str, int)
        Static inputs and position with the halo of pixels each is read with, sorted.
    halos : mapping
        Source to the days read before and after a block.
    schemas : mapping
        Schema of each source read.
    """

    series: tuple[str, ...]
    static: tuple[tuple[str, int], ...]
    halos: Mapping[str, tuple[int, int]]
    schemas: Schemas

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources whose cubes are opened, sorted."""
        names = {split_input(name)[0] for name in (*self.series, *(n for n, _ in self.static))}
        return tuple(sorted(names - set(PSEUDO_SOURCES)))

    def schema(self, name: str) -> CubeSchema:
        """Return the schema of the source of an input."""
        return self.schemas[split_input(name)[0]]

    def steps(self, name: str, n_days: int) -> int:
        """Return at most how many time steps of an input `n_days` days and their halo meet."""
        before, after = self.halos[split_input(name)[0]]
        step = self.schema(name).step_days or 1
        # Composites restart each 1 January: each turn of a year may add a short period.
        return math.ceil((n_days + before + after) / step) + (3 if step > 1 else 0)

    def held_bytes(self, n_days: int, n_points: int, pixels: int) -> int:
        """Return the bytes that a block holds: stored integers, static layers, what is made once.

        Made once are weights from coarse cells, features of those cells and static ones.
        """
        side = math.isqrt(pixels - 1) + 1
        held = 0
        for name in self.series:
            is_fine = self.schema(name).on.is_fine
            cells = n_points if is_fine else coarse_cells(side)
            held += self._itemsize(name) * self.steps(name, n_days) * cells
            held += 0 if is_fine else 4 * n_days * cells
        for _, halo in self.static:
            held += 4 * ((side + 2 * halo) ** 2 if halo else n_points)
        has_weights = any(not self.schema(name).on.is_fine for name in self.series)
        return (
            held + (WEIGHT_BYTES * n_points if has_weights else 0) + 4 * n_points * len(self.static)
        )

    def largest_fetch(self, n_days: int, pixels: int) -> int:
        """Return the most bytes that are on their way and in the decoder at once, uncompressed.

        Inner chunks are fetched ahead, as many at once as `in_order` has room for, and one more
        is decoded; inputs that have fewer are fetched whole.
        """
        at_once = READS_AHEAD + 1
        fetched, chunk = 0, 0
        for name in self.series:
            schema = self.schema(name)
            if schema.on.is_fine:
                step = self._itemsize(name) * pixels
                fetched += self.steps(name, n_days) * step
                chunk = max(chunk, min(schema.chunks[0], self.steps(name, n_days)) * step)
        return min(fetched, at_once * chunk)

    def most_composites(self, n_days: int) -> int:
        """Return how many composites of one variable are unpacked for `n_days` days."""
        steps = (
            self.steps(name, n_days)
            for name in self.series
            if (self.schema(name).step_days or 1) > 1
        )
        return max(steps, default=0)

    def _itemsize(self, name: str) -> int:
        return np.dtype(self.schema(name).variable(split_input(name)[1]).dtype).itemsize


def coarse_cells(side: int) -> int:
    """Return a generous count of 0.1 degree cells around a block of `side` pixels.

    North-south a cell is 11 pixels; east-west, far north and far east of Greenwich, the sheared
    block spreads over about one cell a pixel.
    """
    return (side // 11 + 4) * (side + 4)


def reads_of(features: Iterable[Feature], drivers: Drivers, schemas: Schemas) -> Reads:
    """Return what must be read for the features."""
    series: set[str] = set()
    static: set[tuple[str, int]] = set()
    halos: dict[str, tuple[int, int]] = {}
    for feature in features:
        for name in feature.inputs:
            source, _ = split_input(name)
            if source == CALENDAR:
                continue
            if source in PSEUDO_SOURCES or drivers[source].to_days == "static":
                static.add((name, feature.halo.pixels))
                continue
            series.add(name)
            schema = schemas[source]
            if drivers[source].to_days == "linear" and _has(schema, COMPOSITE_DAY):
                series.add(f"{source}.{COMPOSITE_DAY}")
            halos[source] = _wider(halos.get(source, (0, 0)), feature, drivers[source], schema)
    return Reads(tuple(sorted(series)), tuple(sorted(static)), halos, schemas)


def _wider(
    halo: tuple[int, int], feature: Feature, driver: Driver, schema: CubeSchema
) -> tuple[int, int]:
    gap = MAX_GAP_STEPS * (schema.step_days or 1) if driver.to_days == "linear" else 0
    return (
        max(halo[0], feature.halo.days_before + gap),
        max(halo[1], feature.halo.days_after + gap),
    )


def _has(schema: CubeSchema, name: str) -> bool:
    return any(variable.name == name for variable in schema.variables)


def schemas_of(
    features: Sequence[Feature], drivers: Drivers, schemas: Schemas | None
) -> dict[str, CubeSchema]:
    """Return the schema of each source that the features read, checked against their needs.

    Raises
    ------
    UserError
        If a driver or a layer is not there, or a driver contradicts its schema.
    """
    found: dict[str, CubeSchema] = {}
    for feature in features:
        for name in feature.inputs:
            source, variable = split_input(name)
            if source in PSEUDO_SOURCES:
                continue
            if source not in drivers:
                raise UserError(
                    f"feature {feature.name!r} needs the driver {source!r}; the drivers are "
                    f"{', '.join(sorted(drivers)) or 'none'}"
                )
            schema = _schema_of(source, schemas)
            if not _has(schema, variable):
                raise UserError(
                    f"feature {feature.name!r} needs the layer {name!r}, which the cube of "
                    f"{source} does not have (it has "
                    f"{', '.join(v.name for v in schema.variables)}): ingest that layer, or leave "
                    "the feature out"
                )
            _check_driver(drivers[source], schema)
            found[source] = schema
    return found


def _schema_of(source: str, schemas: Schemas | None) -> CubeSchema:
    if schemas is not None:
        return schemas[source]
    return schema_named(source)


def _check_driver(driver: Driver, schema: CubeSchema) -> None:
    steps = {None: "static", 1: "daily"}.get(schema.step_days, "linear")
    ways = ("native",) if schema.on.is_fine else ("bilinear", "nearest")
    if driver.to_days != steps or driver.to_grid not in ways:
        raise UserError(
            f"driver {driver.source}: its cube of step {schema.step_days} days on {schema.grid} is "
            f"brought to the grid {' or '.join(map(repr, ways))} and to days {steps!r}, not "
            f"{driver.to_grid!r} and {driver.to_days!r}"
        )
