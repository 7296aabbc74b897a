"""Computing features of a slab of days, a few days at a time: the work stays in the cache."""

from collections.abc import Iterator

import numpy as np

from smcloud.features.composites import (
    MAX_GAP_STEPS,
    WORK_ELEMENTS,
    DayNumbers,
    Periods,
    daily_values,
)
from smcloud.features.inputs import BlockInputs, Series, is_small, native
from smcloud.features.reads import COMPOSITE_DAY, Drivers, Kind, Schemas
from smcloud.features.sink import Sink
from smcloud.features.spec import (
    CALENDAR,
    FREEZING_K,
    POSITION,
    Feature,
    FeatureFunction,
    Flags,
    Floats32,
    Quality,
    as_stored,
    split_input,
)


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
        self.first_day = inputs.first_day + start
        self.n_days = stop - start
        self._dates: dict[tuple[str, int, int], Floats32] = {}
        self.flags: Flags = np.zeros((self.n_days, len(inputs.points)), np.uint8)

    def feed(
        self, sink: Sink, column: int, feature: Feature, kind: Kind, bit: Quality | None
    ) -> None:
        """Hand a feature to the sink and raise `bit` where it is unknown."""
        if kind is Kind.STATIC:
            row = self._static(feature)
            sink.put_static(column, row)
            self._raise_flag(self.flags, row, bit)
            return
        if kind is Kind.STORED:
            self._feed_stored(sink, column, feature)
            return
        evaluate = {
            Kind.COMPOSITES: self._from_composites,
            Kind.CELLS: self._from_cells,
            Kind.DAILY: self._at_points,
        }[kind]
        for days, values in evaluate(feature):
            sink.put(column, days, values)
            self._raise_flag(self.flags[days], values, bit)

    def pieces(self) -> Iterator[slice]:
        """Yield the slices of days that are worked on at once."""
        size = max(1, WORK_ELEMENTS // max(1, len(self.inputs.points)))
        for start in range(0, self.n_days, size):
            yield slice(start, min(start + size, self.n_days))

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
        for days in self.pieces():
            unknown = np.ones((days.stop - days.start, len(self.inputs.points)), np.bool_)
            for series in all_series:
                unknown &= series.unknown(*self._steps(series, days))
            self.flags[days] |= unknown.view(np.uint8) * np.uint8(Quality.LST_UNKNOWN)

    @staticmethod
    def _raise_flag(flags: Flags, values: Floats32, bit: Quality | None) -> None:
        if bit is not None:
            flags |= np.isnan(values).view(np.uint8) * np.uint8(bit)

    def _static(self, feature: Feature) -> Floats32:
        """Return a static feature at the points, computed once for all slabs of a block."""
        known = self.inputs.static_features
        if feature.name not in known:
            halo = feature.halo.pixels
            result = feature.function(*(self.inputs.static[name, halo] for name in feature.inputs))
            known[feature.name] = result.reshape(-1)[self.inputs.points] if halo else result
        return known[feature.name]

    def _feed_stored(self, sink: Sink, column: int, feature: Feature) -> None:
        """Hand over stored integers; where a year was never ingested, or of wide types, floats."""
        series = self.inputs.series[feature.inputs[0]]
        for days in self.pieces():
            start, stop = self._steps(series, days)
            found = list(series.pieces(start, stop))
            are_whole = sum(len(stored) for _, stored, _ in found) == stop - start
            if not (are_whole and all(is_small(stored) for _, stored, _ in found)):
                sink.put(column, days, series.physical(start, stop))
                continue
            for inside, stored, variable in found:
                some = slice(days.start + inside.start, days.start + inside.stop)
                sink.put_stored(column, some, native(stored), variable)

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
        weights = self.inputs.coarse[self.schemas[feature.sources[0]].grid]
        whole = slice(0, self.n_days)
        arrays = [self._physical(name, whole, feature) for name in feature.inputs]
        cells = np.asarray(feature.function(*arrays), np.float32)
        cells = cells.reshape(self.n_days, *weights.window.shape)
        for days in self.pieces():
            yield days, weights.apply(cells[days])

    def _at_points(self, feature: Feature) -> Iterator[tuple[slice, Floats32]]:
        """Yield days and values of a feature all of whose inputs are brought to days and points."""
        for days in self.pieces():
            found = feature.function(
                *(self._brought(name, days, feature) for name in feature.inputs)
            )
            shape = days.stop - days.start, len(self.inputs.points)
            yield days, np.ascontiguousarray(np.broadcast_to(found, shape), np.float32)

    def _brought(self, name: str, days: slice, feature: Feature) -> Floats32:
        source, _ = split_input(name)
        if source == CALENDAR:
            return self._day_of_year(days, feature)
        if source == POSITION or self.drivers[source].to_days == "static":
            return self.inputs.static[name, 0]
        if self.drivers[source].to_days == "linear":
            return self._daily_composite(name, days, feature)
        values = self._physical(name, days, feature)
        if self.drivers[source].to_grid == "native":
            return values
        weights = self.inputs.coarse[self.schemas[source].grid]
        return weights.apply(values.reshape(len(values), *weights.window.shape))

    def _physical(self, name: str, days: slice, feature: Feature) -> Floats32:
        """Return a daily input with the feature's halo of days, (days, cells)."""
        series = self.inputs.series[name]
        start, stop = self._steps(series, days)
        halo = feature.halo
        return series.physical(start - halo.days_before, stop + halo.days_after)

    def _steps(self, series: Series, days: slice) -> tuple[int, int]:
        first = self.first_day - int(series.bounds[0])
        return first + days.start, first + days.stop

    def _halo_days(self, days: slice, feature: Feature) -> np.ndarray:
        first, halo = self.first_day, feature.halo
        return np.arange(first + days.start - halo.days_before, first + days.stop + halo.days_after)

    def _daily_composite(self, name: str, days: slice, feature: Feature) -> Floats32:
        numbers = self._halo_days(days, feature)
        out = np.empty((len(numbers), len(self.inputs.points)), np.float32)
        for some, values in self._interpolated((name,), as_stored, numbers):
            out[some] = values
        return out

    def _day_of_year(self, days: slice, feature: Feature) -> Floats32:
        numbers = self._halo_days(days, feature).astype("datetime64[D]")
        new_year = numbers.astype("datetime64[Y]").astype("datetime64[D]")
        number: Floats32 = ((numbers - new_year).astype(np.int64) + 1).astype(np.float32)
        return number[:, None]
