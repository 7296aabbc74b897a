"""`smcloud ingest`: what people type, what they read, and one line for each mistake."""

import contextlib
import sys
import zipfile

import pandas as pd
import pytest

from smcloud.cli import ingest as command
from smcloud.cli.main import main
from smcloud.sources.registry import SOURCES
from tests.ingest.fakes import FakeSource, fake_name, write_fakes


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    """Run the tasks here: a cluster of processes has tests of its own."""
    monkeypatch.setattr(command, "cluster_from", lambda *_: contextlib.nullcontext(None))
    monkeypatch.setitem(SOURCES, "fake", FakeSource())


def smcloud(capsys, monkeypatch, *words):
    """Return exit code, output and the error line of one command."""
    monkeypatch.setattr(sys, "argv", ["smcloud", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def ingest(capsys, monkeypatch, tmp_path, *words, source="fake"):
    fixed = ("--from", tmp_path / "in", "--to", tmp_path / "out")
    return smcloud(capsys, monkeypatch, "ingest", source, *fixed, *words)


def test_a_run_with_granule_problems_ends_with_zero_and_names_them(capsys, monkeypatch, tmp_path):
    write_fakes(tmp_path / "in", [1, 17])
    (tmp_path / "in" / fake_name(17)).write_bytes(b"damaged")
    code, out, _ = ingest(capsys, monkeypatch, tmp_path, "--tiles", "h18v04", "--year", "2019")
    assert code == 0
    assert fake_name(17) in out
    assert "21 steps without a granule" in out
    assert "reports/ingest/fake.json" in out


def test_gauges_alone_are_ingested_and_a_broken_file_is_named(capsys, monkeypatch, tmp_path):
    (tmp_path / "in").mkdir()
    head = "network,station,lat,lon,depth,time,value\n"
    (tmp_path / "in/a_precipitation.csv").write_text(head + "CMA,A,38,100,,2019-06-01,3.4\n")
    (tmp_path / "in/b_precipitation.csv").write_text("station;rain\nB;3,4\n")
    code, out, _ = ingest(capsys, monkeypatch, tmp_path, source="ismn")
    told = " ".join(out.split())
    assert code == 0
    assert "rain: 1 gauge, 1 day, of 2 files (0 read earlier)" in told
    assert "left out: b_precipitation.csv: expected the columns network,station," in told


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--tiles", "h18v04"), 2, "name one, such as --year 2019"),
        (("--tiles", "h18v04", "--year", "last"), 2, "expected years such as 2019"),
        (("--tiles", "h44v04", "--year", "2019"), 2, "unknown tile 'h44v04'"),
        (("--tiles", "h18v04", "--year", "1492"), 2, "unknown year 1492"),
        (("--tiles", "h25v05", "--year", "2019"), 4, "found 1 of fake for h18v04"),
        (("--quality", "perfect", "--year", "2019"), 2, "expected good, all"),
        (("--at", "nowhere.csv", "--year", "2019"), 2, "expected `stations` or a readable CSV"),
        (("--at", "stations", "--year", "2019"), 4, "run `smcloud ingest ismn`"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(capsys, monkeypatch, tmp_path, words, code, line):
    write_fakes(tmp_path / "in", [1])
    found, _, err = ingest(capsys, monkeypatch, tmp_path, *words)
    assert found == code
    assert line in err
    assert err.count("\n") == 1


def test_an_unknown_source_and_an_absent_bucket_are_one_line_each(capsys, monkeypatch, tmp_path):
    code, _, err = ingest(capsys, monkeypatch, tmp_path, source="mod99")
    assert (code, err.count("\n")) == (2, 1)
    assert "unknown source 'mod99'" in err
    code, _, err = ingest(capsys, monkeypatch, tmp_path, "--year", "2019")
    assert (code, err.count("\n")) == (4, 1)
    assert "absent or empty" in err


def test_a_url_that_was_forgotten_is_named(capsys, monkeypatch):
    code, _, err = smcloud(capsys, monkeypatch, "ingest", "mod11a1")
    assert code == 2
    assert "--from URL" in err


def test_points_of_a_csv_pick_the_tiles(capsys, monkeypatch, tmp_path):
    write_fakes(tmp_path / "in", [1], tile="h18v04")
    write_fakes(tmp_path / "in", [1], tile="h25v05")
    points = tmp_path / "points.csv"
    points.write_text("name,longitude,latitude\nA,1.0,45.0\n")
    code, out, _ = ingest(capsys, monkeypatch, tmp_path, "--at", points, "--year", "2019")
    assert code == 0
    assert "h18v04" in out
    assert "h25v05" not in out


def test_stations_are_found_where_ingest_ismn_put_them(capsys, monkeypatch, tmp_path):
    write_fakes(tmp_path / "in", [1])
    stored = pd.DataFrame({"longitude": [1.0], "latitude": [45.0]})
    (tmp_path / "out" / "stations").mkdir(parents=True)
    for name in ("stations", "daily"):
        stored.to_parquet(tmp_path / "out" / "stations" / f"{name}.parquet")
    code, out, _ = ingest(capsys, monkeypatch, tmp_path, "--at", "stations", "--year", "2019")
    assert code == 0
    assert "h18v04" in out


@pytest.mark.parametrize("text", ["", "x,y\n1,2\n", "lon,lat\n1,north\n"])
def test_a_csv_without_points_is_one_line(capsys, monkeypatch, tmp_path, text):
    write_fakes(tmp_path / "in", [1])
    points = tmp_path / "points.csv"
    points.write_text(text)
    code, _, err = ingest(capsys, monkeypatch, tmp_path, "--at", points, "--year", "2019")
    assert (code, err.count("\n")) == (2, 1)


def test_an_unsafe_station_zip_is_one_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "evil.zip", "w") as archive:
        archive.writestr("../evil.stm", "x")
    code, _, err = ingest(capsys, monkeypatch, tmp_path, source="ismn")
    assert (code, err.count("\n")) == (2, 1)
    assert "unsafe" in err


def test_a_run_file_with_an_unknown_product_is_one_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "in").mkdir()
    file = tmp_path / "run.toml"
    file.write_text(
        'product = "none"\ntiles = ["h18v04"]\nyears = [2019]\n'
        f'[store]\nroot = "{tmp_path}/out"\ngranules = "{tmp_path}/in"\n'
    )
    code, _, err = smcloud(capsys, monkeypatch, "ingest", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "unknown product 'none'" in err
