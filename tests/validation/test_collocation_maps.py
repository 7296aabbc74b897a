"""Maps of triple collocation: the same bits however the grid is cut."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.validation.anomalies import anomalies
from smcloud.validation.collocation_maps import MapRules, collocation_maps
from smcloud.validation.triple_collocation import (
    Status,
    bootstrap,
    triple_collocation,
)

DAYS = np.arange("2018-01-01", "2019-01-01", dtype="datetime64[D]")
SHAPE = (DAYS.size, 5, 7)
NAMES = ("era5land", "smap_l3", "glass-sm")


def world():
    """Three members on a small grid with gaps, a sea, and a cell of one constant member."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0.25, 0.05, SHAPE)
    members = []
    for number in range(3):
        values = truth + rng.normal(0, 0.02 + 0.01 * number, SHAPE)
        values[rng.random(SHAPE) < 0.2] = np.nan
        values[:, 0, :3] = np.nan
        if number == 1:
            values[:, 4, 6] = 0.3
        coords = {"time": DAYS.astype("datetime64[ns]"), "lat": np.arange(5.0)[::-1]}
        members.append(xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords))
    return members


WORLD = world()


@st.composite
def chunkings(draw):
    """Any way to cut each side of the grid, time included."""

    def cut(size):
        edges = draw(st.sets(st.integers(1, size - 1), max_size=4))
        return tuple(np.diff([0, *sorted(edges), size]).tolist())

    return dict(zip(("time", "lat", "lon"), map(cut, SHAPE), strict=True))


def in_one_piece(rules):
    values = np.stack([member.values for member in WORLD]).transpose(2, 3, 0, 1)
    values = values.reshape(-1, 3, DAYS.size)
    if rules.is_anomaly:
        values = anomalies(values, DAYS)
    if rules.draws:
        return bootstrap(values, seed=rules.seed, draws=rules.draws)
    return triple_collocation(values)


@pytest.fixture(scope="module")
def expected():
    return {rules: in_one_piece(rules) for rules in RULES}


RULES = (MapRules(), MapRules(is_anomaly=True, draws=15, seed=4))


def assert_same_map(maps, found, rules):
    np.testing.assert_array_equal(maps["n"].values.ravel(), found.n)
    np.testing.assert_array_equal(maps["status"].values.ravel(), found.status)
    for name in rules.figures:
        values = maps[name].values.reshape(3, -1).T
        np.testing.assert_array_equal(values, getattr(found, name), err_msg=name)


@pytest.mark.parametrize("rules", RULES, ids=["raw", "anomalies with intervals"])
def test_a_map_in_memory_is_the_collocation_of_its_cells(rules, expected):
    maps = collocation_maps(*WORLD, names=NAMES, rules=rules)
    assert_same_map(maps, expected[rules], rules)
    assert maps["r"].dims == ("member", "lat", "lon")
    assert maps["r"].sel(member="smap_l3").shape == (5, 7)
    assert maps["status"].dtype == np.uint8
    assert (maps["status"][0, :3] == (Status.TOO_FEW | Status.ABSENT)).all()
    assert maps["status"][4, 6] == Status.CONSTANT | Status.FEW
    np.testing.assert_array_equal(maps["lat"], WORLD[0]["lat"])


@settings(max_examples=12, deadline=None)
@given(st.tuples(chunkings(), chunkings(), chunkings()))
def test_any_chunking_of_each_member_gives_the_same_bits(expected, cuts):
    lazy = [member.chunk(cut) for member, cut in zip(WORLD, cuts, strict=True)]
    maps = collocation_maps(*lazy, names=NAMES)
    assert maps["r"].chunks is not None
    with dask.config.set(scheduler="synchronous"):
        assert_same_map(maps.compute(), expected[MapRules()], MapRules())


def test_blocks_are_bounded_and_hold_whole_series():
    lazy = [member.chunk({"time": 50}) for member in WORLD]
    # Not by a cluster, should another test have left one at hand.
    with dask.config.set({"array.chunk-size": "24 kiB", "array.rechunk.method": "tasks"}):
        maps = collocation_maps(*lazy)
    assert maps["r"].data.npartitions > 4
    with dask.config.set(scheduler="synchronous"):
        assert_same_map(maps.compute(), in_one_piece(MapRules()), MapRules())


def test_one_lazy_member_makes_the_map_lazy_in_its_own_blocks():
    maps = collocation_maps(WORLD[0], WORLD[1].chunk({"lat": 2}), WORLD[2])
    assert maps["n"].chunks == ((2, 2, 1), (7,))


@pytest.mark.cluster
@pytest.mark.parametrize("rules", RULES, ids=["raw", "anomalies with intervals"])
def test_a_cluster_gives_the_bits_of_one_process(client, rules, expected):
    lazy = [member.chunk({"lat": 2, "lon": 3}) for member in WORLD]
    maps = collocation_maps(*lazy, names=NAMES, rules=rules)
    assert_same_map(client.compute(maps).result(), expected[rules], rules)


@pytest.mark.parametrize(
    ("members", "rules", "message"),
    [
        (
            lambda x, y, z: (x, y, z.isel(time=slice(9))),
            None,
            "not on one grid with the same times",
        ),
        (lambda x, y, z: (x, y, z.isel(lon=slice(5))), None, "not on one grid.*lon"),
        (lambda x, y, z: (x, y, z.rename(time="day")), None, r"z: expected dims \(time"),
        (
            lambda *all_: [one.drop_vars("time") for one in all_],
            MapRules(is_anomaly=True),
            "climatology needs days",
        ),
    ],
)
def test_members_that_do_not_fit_are_named(members, rules, message):
    with pytest.raises(UserError, match=message):
        collocation_maps(*members(*WORLD), rules=rules)


def test_names_of_members_differ():
    with pytest.raises(UserError, match="different names"):
        collocation_maps(*WORLD, names=("a", "b", "a"))
