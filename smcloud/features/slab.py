"""Computing features of a slab of days, piece by piece: the work stays in the cache."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.core.compiled import compiled
from smcloud.features.composites import (
    MAX_GAP_STEPS,
    WORK_ELEMENTS,
    DayNumbers,
    Periods,
    daily_values,
)
from smcloud.features.inputs import BlockInputs, Series, is_small, native
from smcloud.features.reads import COMPOSITE_DAY, Drivers, Kind, Schemas, cells_of
from smcloud.features.sink import Sink
from smcloud.features.spec import (
    CALENDAR,
    FREEZING_K,
    POSITION,
    Feature,
    FeatureFunction,
    Flags,
    Floats32,
    Halo,
    Quality,
    as_stored,
    split_input,
)
from smcloud.grids.regrid import Weights

CELL_DAYS = 48
"""Days that are interpolated from coarse cells at once: few would leave vector registers empty."""


@dataclass(frozen=True)
class Column:
    """A feature, its place among the columns, and how it is computed.

    Attributes
    ----------
    number : int
    feature : Feature
    kind : Kind
    unknown : Quality or None
        The bit that is raised where the feature is unknown.
    """

    number: int
    feature: Feature
    kind: Kind
    unknown: Quality | None


class Slab:
    """Evaluates features on the days [start, stop) of a block's inputs.

    Attributes
    ----------
    flags : uint8 (n_days, n_points)
        Bits of `Quality`, raised while features are computed.
    """

    def __init__(
        self, inputs: BlockInputs, drivers: Drivers, schemas: Schemas, start: int, stop: int
    ) -> None:
        self.inputs = inputs
        self.drivers = drivers
        self.schemas = schemas
        self.start = start
        self.first_day = inputs.first_day + start
        self.n_days = stop - start
        self.n_points = len(inputs.points)
        self._dates: dict[tuple[str, int, int], Floats32] = {}
        self.flags: Flags = np.zeros((self.n_days, self.n_points), np.uint8)

    def feed(self, columns: Sequence[Column], sink: Sink) -> None:
        """Hand every column to the sink and raise its bit where it is unknown."""
        by_kind = {kind: [one for one in columns if one.kind is kind] for kind in Kind}
        self._feed_static(by_kind[Kind.STATIC], sink)
        for column in by_kind[Kind.STORED]:
            self._feed_stored(column, sink)
        for column in by_kind[Kind.COMPOSITES]:
            self._feed_pieces(column, self._from_composites(column.feature), sink)
        for column in by_kind[Kind.CELLS]:
            self._feed_pieces(column, self._from_cells(column.feature), sink)
        self._feed_daily(by_kind[Kind.DAILY], sink)

    def flag_frost(self, coldest: Feature) -> None:
        """Raise `FROZEN_OR_SNOW` where `coldest` (K, from coarse cells) is below freezing."""
        for days, temperature in self._from_cells(coldest):
            frozen = temperature < np.float32(FREEZING_K)
            self.flags[days] |= frozen.view(np.uint8) * np.uint8(Quality.FROZEN_OR_SNOW)

    def flag_unknown_lst(self, names: list[str]) -> None:
        """Raise `LST_UNKNOWN` where every one of the inputs is unknown."""
        if not names:
            return
        all_series = [self.inputs.series[name] for name in names]
        for days in self._pieces():
            unknown = np.ones((days.stop - days.start, self.n_points), np.bool_)
            for series in all_series:
                unknown &= series.unknown(*self._steps(series, days))
            self.flags[days] |= unknown.view(np.uint8) * np.uint8(Quality.LST_UNKNOWN)

    def _pieces(self, at_least: int = 1) -> Iterator[slice]:
        """Yield the slices of days that are worked on at once."""
        size = max(at_least, WORK_ELEMENTS // self.n_points)
        for start in range(0, self.n_days, size):
            yield slice(start, min(start + size, self.n_days))

    def _feed_static(self, columns: Iterable[Column], sink: Sink) -> None:
        flags = np.zeros(self.n_points, np.uint8)
        for column in columns:
            values = self._static(column.feature)
            sink.put_static(column.number, values)
            _raise_where_unknown(column.unknown, values, flags)
        self.flags |= flags

    def _static(self, feature: Feature) -> Floats32:
        """Return a static feature at the points, computed once for all slabs of a block."""
        known = self.inputs.computed
        if feature not in known:
            halo = feature.halo.pixels
            result = feature.function(*(self.inputs.static[name, halo] for name in feature.inputs))
            at_points = result.reshape(-1)[self.inputs.points] if halo else result
            known[feature] = np.ascontiguousarray(at_points, np.float32)
        return known[feature]

    def _feed_stored(self, column: Column, sink: Sink) -> None:
        """Hand over stored integers; where a year was never ingested, or of wide types, floats."""
        series = self.inputs.series[column.feature.inputs[0]]
        for days in self._pieces():
            start, stop = self._steps(series, days)
            found = list(series.pieces(start, stop))
            are_whole = sum(len(stored) for _, stored, _ in found) == stop - start
            if not (are_whole and all(is_small(stored) for _, stored, _ in found)):
                sink.put(column.number, days, series.physical(start, stop))
                continue
            for inside, stored, variable in found:
                some = slice(days.start + inside.start, days.start + inside.stop)
                sink.put_stored(column.number, some, native(stored), variable)

    def _feed_pieces(
        self, column: Column, pieces: Iterable[tuple[slice, Floats32]], sink: Sink
    ) -> None:
        for days, values in pieces:
            _raise_where_unknown(column.unknown, values, self.flags[days])
            sink.put(column.number, days, values)

    def _from_composites(self, feature: Feature) -> Iterator[tuple[slice, Floats32]]:
        """Yield days and values of a feature that is computed on composites."""
        days = np.arange(self.first_day, self.first_day + self.n_days)
        yield from self._interpolated(feature.inputs, feature.function, days)

    def _interpolated(
        self, names: tuple[str, ...], function: FeatureFunction, days: DayNumbers
    ) -> Iterator[tuple[slice, Floats32]]:
        """Yield slices into `days` and daily values of a function of composites of one source."""
        source, _ = split_input(names[0])
        step_days = self.schemas[source].step_days or 1
        all_series = [self.inputs.series[name] for name in names]
        bounds = all_series[0].bounds
        reach = MAX_GAP_STEPS * step_days
        start = max(0, int(np.searchsorted(bounds, days[0] - reach, side="right")) - 1)
        stop = min(len(bounds) - 1, int(np.searchsorted(bounds, days[-1] + reach, side="right")))
        periods = Periods(bounds[start : stop + 1], step_days)
        values = function(*(series.physical(start, stop) for series in all_series))
        dates = self._dates_of(source, periods, start, stop)
        yield from daily_values(np.ascontiguousarray(values, np.float32), dates, periods, days)

    def _dates_of(self, source: str, periods: Periods, start: int, stop: int) -> Floats32:
        """Return the own dates of composites; features of one source and slab share them."""
        key = (source, start, stop)
        if key not in self._dates:
            own_day = self.inputs.series.get(f"{source}.{COMPOSITE_DAY}")
            offsets = None if own_day is None else own_day.physical(start, stop)
            self._dates = {key: periods.dates(offsets)}
        return self._dates[key]

    def _from_cells(self, feature: Feature) -> Iterator[tuple[slice, Floats32]]:
        """Yield days and values at points of a feature that is computed on coarse cells."""
        weights = self._weights(feature.sources[0])
        cells = self._cells(feature)[self.start : self.start + self.n_days]
        cells = cells.reshape(self.n_days, *weights.window.shape)
        for days in self._pieces(CELL_DAYS):
            yield days, weights.apply(cells[days])

    def _weights(self, source: str) -> Weights:
        """Return the weights from the cells of a coarse source to the points."""
        return self.inputs.coarse[cells_of(self.drivers[source], self.schemas)]

    def _cells(self, feature: Feature) -> Floats32:
        """Return a feature of coarse cells on all days of the block, computed once for it."""
        known = self.inputs.computed
        if feature not in known:
            days = slice(-self.start, len(self.inputs.days) - self.start)
            arrays = [self._physical(name, days, feature.halo) for name in feature.inputs]
            known[feature] = np.asarray(feature.function(*arrays), np.float32)
        return known[feature]

    def _feed_daily(self, columns: Sequence[Column], sink: Sink) -> None:
        """Compute features all of whose inputs are brought to days and points, which they share."""
        for days in self._pieces() if columns else ():
            shared: dict[tuple[str, Halo], Floats32] = {}
            for column in columns:
                feature = column.feature
                for name in feature.inputs:
                    if (name, feature.halo) not in shared:
                        brought = self._brought(name, days, feature.halo)
                        brought.flags.writeable = False
                        shared[name, feature.halo] = brought
                found = feature.function(*(shared[name, feature.halo] for name in feature.inputs))
                whole = np.broadcast_to(found, (days.stop - days.start, self.n_points))
                piece = days, np.ascontiguousarray(whole, np.float32)
                self._feed_pieces(column, [piece], sink)

    def _brought(self, name: str, days: slice, halo: Halo) -> Floats32:
        source, _ = split_input(name)
        if source == CALENDAR:
            return self._day_of_year(days, halo)
        if source == POSITION or self.drivers[source].to_days == "static":
            return self.inputs.static[name, 0]
        if self.drivers[source].to_days == "linear":
            return self._daily_composite(name, days, halo)
        values = self._physical(name, days, halo)
        if self.drivers[source].to_grid == "native":
            return values
        weights = self._weights(source)
        return weights.apply(values.reshape(len(values), *weights.window.shape))

    def _physical(self, name: str, days: slice, halo: Halo) -> Floats32:
        """Return a daily input with a halo of days, (days, cells)."""
        series = self.inputs.series[name]
        start, stop = self._steps(series, days)
        return series.physical(start - halo.days_before, stop + halo.days_after)

    def _steps(self, series: Series, days: slice) -> tuple[int, int]:
        first = self.first_day - int(series.bounds[0])
        return first + days.start, first + days.stop

    def _halo_days(self, days: slice, halo: Halo) -> DayNumbers:
        first = self.first_day
        return np.arange(first + days.start - halo.days_before, first + days.stop + halo.days_after)

    def _daily_composite(self, name: str, days: slice, halo: Halo) -> Floats32:
        numbers = self._halo_days(days, halo)
        out = np.empty((len(numbers), self.n_points), np.float32)
        for some, values in self._interpolated((name,), as_stored, numbers):
            out[some] = values
        return out

    def _day_of_year(self, days: slice, halo: Halo) -> Floats32:
        numbers = self._halo_days(days, halo).astype("datetime64[D]")
        new_year = numbers.astype("datetime64[Y]").astype("datetime64[D]")
        number: Floats32 = ((numbers - new_year).astype(np.int64) + 1).astype(np.float32)
        return number[:, None]


def _raise_where_unknown(bit: Quality | None, values: Floats32, flags: Flags) -> None:
    """Raise a bit in `flags` where `values`, of the same shape and C-contiguous, are NaN."""
    if bit is not None:
        _or_where_nan(values.reshape(-1), np.uint8(bit), flags.reshape(-1))


@compiled
def _or_where_nan(values: Floats32, bit: np.uint8, flags: Flags) -> None:
    none = np.uint8(0)
    for index in range(values.size):
        flags[index] |= bit if values[index] != values[index] else none
