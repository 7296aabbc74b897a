"""`smcloud simulate`: what people type, and one line for each mistake."""

import pytest
import typer
from typer.testing import CliRunner

from smcloud.cli import simulate as command
from smcloud.core.errors import ConfigError
from smcloud.simulate.gates import Gate, GateReport
from smcloud.simulate.request import DEFAULT_SOURCES, REFERENCES
from smcloud.simulate.run import Summary


@pytest.fixture
def asked(monkeypatch):
    """Collect requests instead of simulating."""
    requests = []

    def collect(request, _listener):
        requests.append(request)
        return Summary(request.out, 1, request.stations, 36, 7, 2, 3_000_000, 1.5)

    monkeypatch.setattr(command, "write_earth", collect)
    return requests


def smcloud(*words):
    app = typer.Typer()
    command.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["simulate", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_words_of_the_demo_become_a_request(asked, tmp_path):
    shown = smcloud(
        *("--tiles", "h18v04", "--window", "240x240+600+750", "--year", 2019, "--seed", 7),
        *("--stations", 60, "--out", tmp_path),
    )
    (request,) = asked
    assert request.tiles == ("h18v04",)
    assert request.years == (2019,)
    assert (request.window, request.seed, request.stations) == ("240x240+600+750", 7, 60)
    assert request.sources == DEFAULT_SOURCES
    assert "36 land pixels of 1 tiles and 60 stations" in shown.output
    assert "7 files (3.0 MB) written, 2 were there" in shown.output


def test_tiles_and_years_are_repeated_or_listed(asked, tmp_path):
    smcloud(
        *("--tiles", "h18v04,h25v05", "--tiles", "h18v04", "--year", "2020,2018", "--year", 2019),
        *("--sources", "ismn, truth", "--out", tmp_path, "--at", "stations"),
    )
    (request,) = asked
    assert request.tiles == ("h18v04", "h25v05")
    assert request.years == (2018, 2019, 2020)
    assert request.sources == ("ismn", "truth")
    assert request.at_stations


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tiles", "h18v04", "--year", 2019), "needs --out"),
        (("--tiles", "h18v04", "--year", "MMXIX", "--out", "x"), "--year 'MMXIX'"),
        (("--tiles", "h18v04", "--year", 2019, "--out", "x", "--at", "sea"), "--at 'sea'"),
        (("--tiles", "h99v04", "--year", 2019, "--out", "x"), "unknown tile 'h99v04'"),
        (("--tiles", "h18v04", "--out", "x"), "at least one year"),
        (("--gates", "--stations", 20), "--gates needs --stations 200 or more, found 20"),
    ],
)
def test_a_mistake_is_one_line(asked, words, message):
    with pytest.raises(ConfigError) as caught:
        smcloud(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked == []


@pytest.mark.parametrize(("value", "code"), [(0.65, 0), (0.9, 1)])
def test_gates_are_printed_and_a_failed_one_fails_the_command(monkeypatch, value, code):
    report = GateReport(7, 200, 1000, (Gate("reanalysis_median_r", value, 0.55, 0.75),))
    monkeypatch.setattr(command, "run_gates", lambda *_args, **_options: report)
    shown = smcloud("--gates", "--seed", 7)
    assert shown.exit_code == code
    assert "reanalysis_median_r" in shown.output


def test_references_and_varied_sites_are_asked_for_by_name(asked, tmp_path):
    smcloud(
        *("--tiles", "h18v04,h25v05", "--year", 2019, "--at", "stations", "--stations", 200),
        *("--references", "--sites", "varied", "--shared-error", 0.3, "--out", tmp_path),
    )
    (request,) = asked
    assert request.sources == (*DEFAULT_SOURCES, *REFERENCES)
    assert request.references == REFERENCES
    assert (request.sites, request.shared_error) == ("varied", 0.3)


def test_parts_for_maps_are_repeated_or_listed(asked, tmp_path):
    smcloud(
        *("--tiles", "h18v04,h25v05", "--year", 2019, "--at", "stations", "--out", tmp_path),
        *("--maps", "h18v04:60x60+690+800,h25v05:30x30", "--maps", "h25v05:20x20"),
    )
    assert asked[0].maps == ("h18v04:60x60+690+800", "h25v05:30x30", "h25v05:20x20")


def test_without_references_no_satellite_is_asked_for(asked, tmp_path):
    smcloud("--tiles", "h18v04", "--year", 2019, "--out", tmp_path)
    assert asked[0].references == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sites", "odd"), "--sites 'odd': expected one of plain, varied"),
        (("--shared-error", "0.3"), "--shared-error concerns SMAP"),
    ],
)
def test_wrong_combinations_of_a_study_are_one_line(asked, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        smcloud("--tiles", "h18v04", "--year", 2019, "--out", tmp_path, *words)
    assert asked == []


def test_a_region_stands_in_place_of_tiles(asked, tmp_path):
    smcloud(
        *("--product", "seamless", "--region", "-10,35,5.5,50", "--year", "2010,2011"),
        *("--stations", 40, "--out", tmp_path, "--also", "amsre_lprm_day"),
    )
    (request,) = asked
    assert (request.region, request.tiles, request.stations) == ("-10,35,5.5,50", (), 40)
    # AMSR2 measures since 2012.
    assert request.sources == (
        *("amsre_lprm", "windsat_lprm", "imerg_025", "ismn", "truth_025", "amsre_lprm_day"),
    )


def test_the_gap_free_product_needs_a_region(asked, tmp_path):
    with pytest.raises(ConfigError, match=r"over a region of 0\.25 degree cells: give --region"):
        smcloud("--product", "seamless", "--tiles", "h18v04", "--year", 2012, "--out", tmp_path)
    assert asked == []
