"""The table of coarse cells by tasks: what is done is not done again, and nothing else differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.listener import Silent
from smcloud.features.coarse_table import area_rows
from smcloud.grids.cells import Aggregation
from smcloud.production import coarse_table_stage
from smcloud.production.coarse_table_stage import (
    build_coarse_table,
    read_coarse_table,
    request_of,
    write_coarse_table,
)
from smcloud.products.glass_sm import GLASS_SM
from tests.production.coarse_world import PRODUCT, coarse_config, coarse_request, write_field
from tests.production.recorder import Recorder
from tests.production.small_world import FEATURES, tree_of


@pytest.fixture
def config(world):
    return coarse_config(world)


@pytest.fixture
def request_(config):
    return coarse_request(config)


def files(request_):
    return tree_of(Path(request_.url.removeprefix("file://")))


def counted_calls(monkeypatch):
    calls = []

    def area(task):
        calls.append(task.area)
        return area_rows(task)

    monkeypatch.setattr(coarse_table_stage, "area_rows", area)
    return calls


def test_a_table_holds_every_cell_of_the_strip_once_a_day(request_):
    receipts = write_coarse_table(request_, None, Silent())
    rows = read_coarse_table(request_.url)
    assert sum(receipt.rows for receipt in receipts) == len(rows) > 46 * 5
    assert len(receipts) == 2  # squares that the strip crosses
    assert not rows.duplicated(["row", "col", "time"]).any()
    expected = 0.1 + 0.002 * (rows["time"].dt.day_of_year - 1) + 0.01 * (rows["row"] % 7)
    expected += 0.001 * (rows["col"] % 50)
    np.testing.assert_allclose(rows["soil_moisture"], expected, atol=6e-5)
    assert set(FEATURES) < set(rows.columns)
    assert rows["elevation"].notna().all()
    order = rows.sort_values(["row", "col", "time"], ignore_index=True)
    pd.testing.assert_frame_equal(rows, order)
    some = read_coarse_table(request_.url, ["elevation", "soil_moisture"])
    pd.testing.assert_frame_equal(some.sort_index(axis=1), rows[["elevation", "soil_moisture"]])


def test_a_second_run_does_nothing_and_a_lost_file_is_made_again(request_, monkeypatch):
    write_coarse_table(request_, None, Silent())
    before = files(request_)
    calls = counted_calls(monkeypatch)
    listener = Recorder()
    write_coarse_table(request_, None, listener)
    assert calls == []
    assert listener.notes == ["coarse cells: 2 of 2 tasks done before"]
    lost = next(key for key in before if key.endswith("c22200.parquet"))
    (Path(request_.url.removeprefix("file://")) / lost).unlink()
    write_coarse_table(request_, None, Silent())
    assert len(calls) == 1
    assert files(request_) == before


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(request_, monkeypatch, tmp_path):
    class Stop(Silent):
        def advance(self, n=1, **figures):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coarse_table(request_, None, Stop())
    with pytest.raises(NotFoundError):
        read_coarse_table(request_.url)
    calls = counted_calls(monkeypatch)
    write_coarse_table(request_, None, Silent())
    assert len(calls) == 1
    other = replace(request_, url=str(tmp_path / "other"))
    write_coarse_table(other, None, Silent())
    assert files(other) == files(request_)


def test_another_field_rule_or_feature_makes_the_table_anew(config, request_, monkeypatch):
    write_coarse_table(request_, None, Silent())
    calls = counted_calls(monkeypatch)
    write_field(config, shift=0.01)
    write_coarse_table(request_, None, Silent())
    assert len(calls) == 2
    wetter = read_coarse_table(request_.url)
    assert wetter["soil_moisture"].min() > 0.105
    write_coarse_table(replace(request_, aggregation=Aggregation("nearest")), None, Silent())
    assert len(calls) == 4
    drier = replace(request_, target=replace(request_.target, valid=(0.0, 0.3)))
    write_coarse_table(drier, None, Silent())
    assert len(calls) == 6
    assert read_coarse_table(request_.url)["soil_moisture"].max() <= 0.3
    monkeypatch.setattr(coarse_table_stage, "FORMAT", coarse_table_stage.FORMAT + 1)
    write_coarse_table(drier, None, Silent())
    assert len(calls) == 8


def test_blocks_of_any_size_give_the_same_rows(request_):
    write_coarse_table(request_, None, Silent())
    whole = read_coarse_table(request_.url)
    first, last = request_.blocks[0], request_.blocks[-1]
    cut = tuple(
        replace(first, row0=row, row1=row + 30, col0=col, col1=min(col + 170, last.col1))
        for row in (first.row0, first.row0 + 30)
        for col in range(first.col0, last.col1, 170)
    )
    write_coarse_table(replace(request_, blocks=cut), None, Silent())
    pd.testing.assert_frame_equal(read_coarse_table(request_.url), whole, check_exact=True)


def test_the_table_of_a_run_covers_its_tiles_and_years(config):
    request = request_of(config, PRODUCT)
    assert len(request.blocks) == 2 * 64
    assert request.url == config.layout.table("tiny-coarse")
    assert request.inputs.sources == ("era5land", "mod11a1", "terrain", "smap_l3")
    assert request.aggregation == Aggregation("mean", 0.5)


def test_without_a_row_it_says_what_lacks(request_):
    first = request_.blocks[0]
    small = replace(first, row1=first.row0 + 20, col1=first.col0 + 20)
    with pytest.raises(UserError, match=r"no coarse cell of h18v04 in 2019 has both"):
        write_coarse_table(replace(request_, blocks=(small,)), None, Silent())


def test_a_product_of_stations_has_no_such_table(config):
    with pytest.raises(UserError, match="learns from stations"):
        build_coarse_table(config, GLASS_SM, None, Silent())
