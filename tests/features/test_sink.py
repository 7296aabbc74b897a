"""Sinks: what arrives in pieces is what the float columns hold."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.cube.schema import Variable
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import Driver, Feature, as_stored

DAYS = np.arange("2018-12-01", "2019-02-01", dtype="datetime64[D]")
POINTS = np.arange(0, 1600, 3)


class Recorder:
    """Writes down every call and puts the columns together from copies of what it got."""

    def __init__(self, n_features, n_days, n_points):
        self.values = np.full((n_features, n_days, n_points), -1, np.float32)
        self.calls = [[] for _ in range(n_features)]

    def put(self, column, days, values):
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        assert values.shape == (days.stop - days.start, self.values.shape[2])
        self._keep("put", column, days, values)

    def put_static(self, column, values):
        assert values.shape == self.values.shape[2:]
        self._keep("put_static", column, slice(0, self.values.shape[1]), values)

    def put_stored(self, column, days, stored, variable):
        assert stored.dtype == np.dtype(variable.dtype).newbyteorder("=")
        assert stored.flags.c_contiguous
        assert stored.shape == (days.stop - days.start, self.values.shape[2])
        assert isinstance(variable, Variable)
        self._keep("put_stored", column, days, variable.unpack(stored))

    def _keep(self, call, column, days, values):
        self.values[column, days] = values
        self.calls[column].append((call, days.start, days.stop))


def reader_of(world, features=None):
    return FeatureReader(
        features or features_named(world.names, world.drivers),
        world.drivers,
        world.cubes,
        schemas=world.schemas,
    )


def test_pieces_put_together_are_the_columns(world):
    reader = reader_of(world)
    inputs = reader.read(world.region, DAYS, POINTS)
    slab = slice(7, 55)
    whole = reader.compute(inputs, slab)
    sink = Recorder(len(reader.features), 48, len(POINTS))
    flags = reader.compute_into(inputs, slab, sink)
    np.testing.assert_array_equal(flags, whole.flags)
    for name, calls, have, want in zip(
        reader.names, sink.calls, sink.values, whole.values, strict=True
    ):
        np.testing.assert_array_equal(have, want, err_msg=name)
        days = [day for _, start, stop in calls for day in range(start, stop)]
        assert sorted(days) == list(range(48)), f"{name} came other than once"


def test_each_kind_of_feature_arrives_by_its_own_call(world):
    reader = reader_of(world)
    inputs = reader.read(world.region, DAYS, POINTS)
    sink = Recorder(len(reader.features), len(DAYS), len(POINTS))
    reader.compute_into(inputs, slice(None), sink)
    called = {
        name: {call for call, *_ in calls}
        for name, calls in zip(reader.names, sink.calls, strict=True)
    }
    assert called["lst_day"] == called["lst_night"] == {"put_stored"}
    assert called["elevation"] == called["topographic_position"] == {"put_static"}
    assert called["ndvi"] == called["lst_mean"] == called["era5land_soil_moisture"] == {"put"}


def test_only_the_identity_goes_as_stored(world):
    features = [
        Feature("same", ("mod11a1.lst_day",), "K", as_stored),
        Feature("also", ("mod11a1.lst_day",), "K", lambda values: values),
    ]
    reader = reader_of(world, features)
    sink = Recorder(2, len(DAYS), len(POINTS))
    reader.compute_into(reader.read(world.region, DAYS, POINTS), slice(None), sink)
    assert {call for call, *_ in sink.calls[0]} == {"put_stored"}
    assert {call for call, *_ in sink.calls[1]} == {"put"}
    np.testing.assert_array_equal(sink.values[0], sink.values[1])


def test_a_slab_without_days_is_refused(world):
    reader = reader_of(world)
    inputs = reader.read(world.region, DAYS[:3], POINTS)
    for days in (slice(3, 3), slice(0, 3, 2)):
        with pytest.raises(UserError, match="slab"):
            reader.compute_into(inputs, days, Recorder(len(reader.features), 3, len(POINTS)))
        with pytest.raises(UserError, match="slab"):
            reader.compute(inputs, days)


def test_stored_integers_of_several_widths_reach_the_sink_or_come_as_floats(world, make_cube):
    def counting(schema, variable, year, window):
        return variable.pack(np.full((len(schema.times(year)), *window.shape), 250.0))

    schema = world.schemas["mod11a1"]
    wide = type(schema)(
        **{
            **{name: getattr(schema, name) for name in schema.__dataclass_fields__},
            "variables": tuple(
                Variable(v.name, "int32", "K", v.name, v.valid, 0.001, fill=-1)
                for v in schema.variables
            ),
        }
    )
    make_cube("memory://sink-widths", schema, 2018, counting)
    make_cube("memory://sink-widths", wide, 2019, counting)
    cubes = type(world.cubes)({"mod11a1": "memory://sink-widths/mod11a1"})
    drivers = [Driver("mod11a1")]
    reader = FeatureReader(
        features_named(["lst_day"], drivers), drivers, cubes, schemas={"mod11a1": schema}
    )
    inputs = reader.read(world.region, DAYS, POINTS)
    sink = Recorder(1, len(DAYS), len(POINTS))
    reader.compute_into(inputs, slice(None), sink)
    np.testing.assert_array_equal(sink.values, np.float32(250.0))
