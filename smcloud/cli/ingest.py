"""`smcloud ingest`: granules in a bucket to driver cubes, station archives to daily means."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.core.config import ClusterConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.layout import Layout
from smcloud.core.listener import counted
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.stations import station_points
from smcloud.production.derived_stage import DerivedSummary
from smcloud.production.ingest_stage import (
    IngestRequest,
    IngestResult,
    IngestSummary,
    ingest_sources,
    run,
    source_named,
)
from smcloud.production.run_file import read_run
from smcloud.production.stations_stage import StationsSummary, ingest_stations

STATIONS_WORD = "stations"
NAMES_SHOWN = 10


def ingest(
    what: Annotated[
        str, typer.Argument(help="A source (mod11a1, era5land, ismn, ...) or a run file (.toml)")
    ],
    from_url: Annotated[str, typer.Option("--from", help="Where the native files lie")] = "",
    to_url: Annotated[str, typer.Option("--to", help="Root that cubes/ is written below")] = "",
    tiles: Annotated[
        str, typer.Option(help="Tiles, comma separated; all that have granules by default")
    ] = "",
    year: Annotated[str, typer.Option(help="Years, comma separated")] = "",
    at: Annotated[
        str,
        typer.Option(help="Only the shards that hold these: `stations`, or a CSV of lon and lat"),
    ] = "",
    quality: Annotated[str, typer.Option(help="Quality rule, such as good or relaxed")] = "",
    flags: Annotated[str, typer.Option(help="ismn: accepted quality flags")] = "G,U",
    minimum_hours: Annotated[
        float, typer.Option(help="ismn: hours that make a day known", min=1, max=24)
    ] = 12.0,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 is one per core", min=0)] = 0,
    scheduler: Annotated[str, typer.Option(help="Address of a running Dask scheduler")] = "",
    redo: Annotated[bool, typer.Option(help="Do again what an earlier run finished")] = False,
) -> None:
    """Bring native files to chunked cubes; a second run does only what is missing or changed.

    Missing and damaged files are named and stay unknown; the run goes on and ends with 0.
    """
    listener = RichListener()
    if what.endswith(".toml"):
        _refuse_options(
            what,
            {
                "--from": from_url,
                "--to": to_url,
                "--tiles": tiles,
                "--year": year,
                "--at": at,
                "--quality": quality,
                "--workers": workers,
                "--scheduler": scheduler,
            },
        )
        _ingest_run(what, listener, redo=redo)
        return
    _require_urls(what, from_url, to_url)
    cluster = ClusterConfig(workers=workers or None, scheduler=scheduler)
    if what == "ismn":
        rules = StationRules(tuple(_words(flags)), minimum_hours)
        _ingest_archive(from_url, to_url, rules, cluster, listener, redo=redo)
        return
    source_named(what)
    asked = IngestRequest(what, from_url, to_url, tuple(_words(tiles)), _years(year), quality)
    _ingest_source(replace(asked, points=_points(at, to_url), redo=redo), cluster, listener)


def _ingest_run(file: str, listener: RichListener, *, redo: bool) -> None:
    config = read_run(file)
    with cluster_from(config.cluster, listener) as client:
        show(run(config, client, listener, redo=redo))


def _ingest_archive(
    from_url: str,
    to_url: str,
    rules: StationRules,
    cluster: ClusterConfig,
    listener: RichListener,
    *,
    redo: bool,
) -> None:
    with cluster_from(cluster, listener) as client:
        archive = (from_url, to_url, rules, client, listener)
        show_stations(ingest_stations(*archive, redo=redo, needs_moisture=False))


def _ingest_source(request: IngestRequest, cluster: ClusterConfig, listener: RichListener) -> None:
    with cluster_from(cluster, listener) as client:
        show_sources(ingest_sources([request], client, listener))


def _refuse_options(file: str, given: Mapping[str, str | int]) -> None:
    """Raise UserError rather than leave an option without effect and without a word."""
    named = [option for option, value in given.items() if value]
    if named:
        raise UserError(
            f"{', '.join(named)} beside a run file: {file} says these itself, so change it there, "
            "or name a source instead of the file"
        )


def _require_urls(what: str, from_url: str, to_url: str) -> None:
    for option, url in (("--from", from_url), ("--to", to_url)):
        if not url:
            raise UserError(f"ingest {what} needs {option} URL; a run file needs no options")


def show(result: IngestResult) -> None:
    """Print what the ingest of a run file did."""
    show_sources(result.sources)
    if result.derived:
        show_derived(result.derived)
    if result.stations is not None:
        show_stations(result.stations)


def show_sources(summaries: Sequence[IngestSummary]) -> None:
    """Print one row a source and the names of what could not be used."""
    table(
        "Ingested",
        ["source", "tasks", "earlier", "read", "missing", "damaged", "doubles", "MB", "task s"],
        [
            [
                s.source,
                s.tasks,
                s.tasks_skipped,
                s.granules_read,
                len(s.missing),
                len(s.damaged),
                len(s.duplicates),
                f"{s.bytes_written / 1e6:,.1f}",
                f"{s.seconds:.1f}",
            ]
            for s in summaries
        ],
    )
    for summary in summaries:
        for bad in summary.damaged[:NAMES_SHOWN]:
            console.print(f"  left unknown: {bad}", markup=False)
        if summary.missing or summary.damaged or summary.duplicates:
            console.print(f"  all names are in {summary.report_url}", markup=False)


def show_derived(summaries: Sequence[DerivedSummary]) -> None:
    """Print one row a cube that was made of others."""
    table(
        "Made of other cubes",
        ["cube", "blocks", "earlier", "MB", "task s"],
        [
            [s.name, s.tasks, s.tasks_skipped, f"{s.bytes_written / 1e6:,.1f}", f"{s.seconds:.1f}"]
            for s in summaries
        ],
    )
    for summary in summaries:
        for line in summary.told:
            console.print(f"  {summary.name}: {line}", markup=False)
        if summary.report_url:
            console.print(f"  all figures are in {summary.report_url}", markup=False)


def show_stations(summary: StationsSummary) -> None:
    """Print what was read of a station archive, its flags and the files that were left out."""
    flags = ", ".join(f"{flag or 'none'} {count:,}" for flag, count in summary.flags.items())
    table(
        f"Stations of {summary.archive}",
        ["networks", "stations", "sensors", "days", "files", "broken", "tasks", "earlier", "s"],
        [
            [
                summary.networks,
                summary.stations,
                summary.sensors,
                f"{summary.days:,}",
                summary.files,
                len(summary.broken),
                summary.tasks,
                summary.tasks_skipped,
                f"{summary.seconds:.1f}",
            ]
        ],
    )
    console.print(f"  flags: {flags}", markup=False)
    for line in (*_rain(summary), *_left_alone(summary)):
        console.print(f"  {line}", markup=False)
    gauges = summary.rain.broken if summary.rain else ()
    for bad in [*summary.broken, *gauges][:NAMES_SHOWN]:
        console.print(f"  left out: {bad}", markup=False)


def _rain(summary: StationsSummary) -> list[str]:
    """Return a line about the gauges, if there are any."""
    rain = summary.rain
    if rain is None:
        return []
    found = f"{counted(rain.stations, 'gauges')}, {counted(rain.days, 'days')}"
    return [f"rain: {found}, of {counted(rain.files, 'files')} ({rain.files_skipped} read earlier)"]


def _left_alone(summary: StationsSummary) -> list[str]:
    """Return a line for each kind of file or sensor that adds nothing to the daily means."""
    named = ", ".join(summary.idle[:NAMES_SHOWN]) + (", ..." * (len(summary.idle) > NAMES_SHOWN))
    lines = (
        (summary.other_variables, f"{summary.other_variables:,} series of other variables"),
        (summary.others, f"{summary.others:,} files that are no station files"),
        (summary.copies, f"{summary.copies:,} files that repeat another"),
        (len(summary.idle), f"{len(summary.idle):,} sensors without a known day: {named}"),
    )
    return [f"of no use: {text}" for count, text in lines if count]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _years(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError as err:
        raise UserError(f"--year {text!r}: expected years such as 2019 or 2018,2019") from err


def _points(at: str, to_url: str) -> tuple[tuple[float, float], ...] | None:
    """Return the points (longitude, latitude) that --at names; None without it."""
    if not at:
        return None
    if at == STATIONS_WORD:
        return _station_points(to_url)
    return _csv_points(at)


def _station_points(to_url: str) -> tuple[tuple[float, float], ...]:
    try:
        return station_points(Layout(to_url).stations)
    except NotFoundError as err:
        raise NotFoundError(
            f"--at stations: no stations below {to_url}: run `smcloud ingest ismn` with the same "
            "--to first"
        ) from err


def _csv_points(path: str) -> tuple[tuple[float, float], ...]:
    """Return the points of a CSV file with columns longitude and latitude (or lon and lat)."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as err:
        raise UserError(f"--at {path}: expected `stations` or a readable CSV file: {err}") from err
    rows = list(csv.DictReader(io.StringIO(text)))
    for lon, lat in (("longitude", "latitude"), ("lon", "lat")):
        if rows and lon in rows[0] and lat in rows[0]:
            try:
                return tuple((float(row[lon]), float(row[lat])) for row in rows)
            except (TypeError, ValueError) as err:
                raise UserError(f"--at {path}: {lon} and {lat} must be numbers: {err}") from err
    raise UserError(f"--at {path}: expected a CSV with columns longitude and latitude, and rows")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("ingest")(ingest)
