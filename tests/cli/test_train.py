"""`smcloud train` on a table of the user's own: one command, one readable answer."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import typer
import xgboost
from typer.testing import CliRunner

from smcloud.cli import train
from smcloud.core.errors import UserError
from smcloud.production import table_stage

app = typer.Typer()
train.register(app)


@app.callback()
def _several_commands() -> None:
    """Keep `train` a word of the command line."""


@pytest.fixture
def table(tmp_path) -> str:
    rng = np.random.default_rng(2)
    days = pd.date_range("2018-01-01", periods=100, freq="7D").strftime("%Y-%m-%d")
    rows = 20 * len(days)
    frame = pd.DataFrame(
        {
            "site": np.repeat([f"s{n:02d}" for n in range(20)], len(days)),
            "day": np.tile(days, 20),
            "rain": rng.gamma(0.4, 5.0, rows),
            "note": "as read",
        }
    )
    frame["sm"] = 0.2 + 0.01 * frame["rain"] + rng.normal(0, 0.02, rows)
    path = tmp_path / "mine.csv"
    frame.to_csv(path, index=False)
    return str(path)


def invoke(*words: str, fails: bool = False) -> str:
    result = CliRunner().invoke(app, ["train", *words], env={"COLUMNS": "120"})
    if fails:
        assert isinstance(result.exception, UserError)
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.output


def options(table: str, tmp_path, target: str = "sm") -> list[str]:
    named = {"target": target, "group": "site", "time": "day", "out": str(tmp_path / "out")}
    return [
        "--table",
        table,
        *(word for name, value in named.items() for word in (f"--{name}", value)),
    ]


def test_a_table_becomes_a_scored_model_in_one_command(table: str, tmp_path, capsys) -> None:
    invoke(*options(table, tmp_path), "--rounds", "40")
    card = json.loads((tmp_path / "out/models/mine/card.json").read_text())
    assert card["columns"] == ["rain"]
    assert set(card["scores"]) == {"random", "station", "year", "station_year"}
    assert card["scores"]["station_year"]["R"] > 0.5


def test_the_headline_is_new_stations_in_new_years(table: str, tmp_path) -> None:
    shown: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.console, "print", lambda *parts, **_: shown.append(str(parts[0])))
        invoke(*options(table, tmp_path), "--rounds", "20")
    headlines = [line for line in shown if "headline:" in line]
    assert len(headlines) == 1
    assert "new stations in new years" in headlines[0]
    assert any("random days are no result" in line for line in shown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--target", "moisture"], "no column 'moisture'; it has site, day, rain, note, sm"),
        (["--features", "rain,note"], "the column 'note' holds"),
        (["--features", "sm"], "the target 'sm' is among the features"),
        (["--folds", "30"], "split 'station' needs 30 spatial blocks.* found 20 with 20 stations"),
        (["--lat", "rain"], "needs latitude and longitude, found only one"),
        (["--most-rows", "-1"], "--most-rows is -1: expected 0 or more"),
        (["--permutations", "-2"], "--permutations is -2: expected 0 or more"),
        (["--tune", "-3"], "--tune is -3: expected 0 or more"),
        (["--seed", "-4"], "--seed is -4: expected 0 or more"),
        (["--rounds", "0"], "rounds and early_stopping must be 1 or more, found 0"),
        (["--held-out", "A"], "--held-out needs --network"),
    ],
)
def test_a_mistake_is_one_clear_line(table: str, tmp_path, change: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        raise UserError(invoke(*options(table, tmp_path), *change, fails=True))


def test_a_device_that_is_not_there_is_said(table: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": False})
    said = invoke(*options(table, tmp_path), "--device", "cuda", fails=True)
    assert "device 'cuda' needs xgboost with CUDA" in said
    assert "\n" not in said
    assert "expected cpu or cuda" in invoke(*options(table, tmp_path), "--device", "x", fails=True)


def test_a_constant_target_is_said(table: str, tmp_path) -> None:
    frame = pd.read_csv(table).assign(sm=0.25)
    frame.to_csv(table, index=False)
    assert "the target 'sm' is 0.25 in all 2000 rows" in invoke(
        *options(table, tmp_path), fails=True
    )


def test_missing_options_are_named(table: str) -> None:
    assert "needs --target, --group, --time, --out" in invoke("--table", table, fails=True)
    assert "one of them" in invoke(fails=True)
    assert "one of them" in invoke("run.toml", "--table", table, fails=True)


def test_options_of_a_table_beside_a_run_file_are_refused(tmp_path) -> None:
    said = invoke(str(tmp_path / "run.toml"), "--rounds", "9", "--most-rows", "5", fails=True)
    assert said.startswith("--rounds, --most-rows goes with --table: say it in the run file")


def test_stations_of_too_few_days_leave_the_headline_unknown(table: str, tmp_path) -> None:
    shown: list[str] = []
    pd.read_csv(table).iloc[::50].to_csv(table, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.console, "print", lambda *parts, **_: shown.append(str(parts[0])))
        invoke(*options(table, tmp_path), "--rounds", "3", "--permutations", "0")
    (headline,) = [line for line in shown if "headline:" in line]
    assert "unknown, for no station has 5 test rows or more" in headline
    assert not any("nan to nan" in line for line in shown)


def test_a_table_larger_than_memory_goes_over_a_cluster_from_mapped_columns(
    table: str, tmp_path, monkeypatch
) -> None:
    """With memory said to be gone, the rows are mapped and the histograms summed over workers."""
    path = str(tmp_path / "mine.parquet")
    pd.read_csv(table).assign(day=lambda f: pd.to_datetime(f["day"])).to_parquet(path)
    mapped: list[str] = []
    real = table_stage.mapped_table
    monkeypatch.setattr(
        table_stage, "mapped_table", lambda *args: (mapped.append("yes"), real(*args))[1]
    )
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=1000, total=8e9)
    )
    monkeypatch.setattr(train, "cluster_from", lambda *_: nullcontext(None))
    said = invoke(*options(path, tmp_path), "--rounds", "5", "--permutations", "0")
    assert mapped == ["yes"]
    assert "exceed this host's free memory" in said
