"""`smcloud simulate`: a small physical Earth as native files, with its truth."""

import os
from typing import Annotated

import typer

from smcloud.cli.console import RichListener, console
from smcloud.core.errors import ConfigError
from smcloud.simulate.gates import run_gates
from smcloud.simulate.request import (
    FOLDERS,
    PLAIN,
    PRODUCT_SOURCES,
    REFERENCES,
    TRUTH_WORDS,
    SimulateRequest,
    product_sources,
)
from smcloud.simulate.run import Summary
from smcloud.simulate.run import simulate as write_earth

STATIONS_WORD = "stations"
STATIONS, GATE_STATIONS = 60, 200

Tiles = Annotated[
    list[str] | None, typer.Option(help="Sinusoidal tiles, repeatable or comma separated")
]
Years = Annotated[list[str] | None, typer.Option(help="Years, repeatable or comma separated")]
Out = Annotated[str, typer.Option(help="URL or folder that takes granules/ and truth/")]
PartOfEach = Annotated[
    str, typer.Option(help="Part of each tile: ROWSxCOLS, centred, or ROWSxCOLS+ROW+COL")
]
RegionText = Annotated[
    str,
    typer.Option(
        "--region",
        help="W,S,E,N in degrees in place of tiles: cells of 0.25 degree alone, for seamless; a "
        "west beyond the east crosses the date line",
    ),
]
At = Annotated[
    str,
    typer.Option(
        help="`stations`: only small windows around the stations; without --tiles they stand all "
        "over the globe"
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        help="With --at stations: TILE:ROWSxCOLS+ROW+COL, a part where every pixel is simulated "
        "too, for maps; repeatable or comma separated"
    ),
]
Number = Annotated[
    int | None, typer.Option(help=f"Number of stations: {STATIONS}; with --gates 200 or more")
]
Seed = Annotated[int, typer.Option(help="Another seed is another Earth")]
Product = Annotated[
    str, typer.Option(help=f"Whose sources are written: {', '.join(PRODUCT_SOURCES)}")
]
Sources = Annotated[
    str,
    typer.Option(
        help="In place of the product's, comma separated: " + ", ".join((*FOLDERS, *TRUTH_WORDS))
    ),
]
Also = Annotated[str, typer.Option(help="Further sources beside the product's, comma separated")]
References = Annotated[
    bool, typer.Option("--references", help=f"Also the satellites {', '.join(REFERENCES)}")
]
SharedError = Annotated[
    float,
    typer.Option(help="Share of SMAP's moisture that is the reanalysis's: correlated errors"),
]
Sites = Annotated[
    str,
    typer.Option(
        help="`varied`: networks with calibrations of their own, odd sites with a course of their "
        "own, land cover and climate told; or `plain`"
    ),
]
Workers = Annotated[int, typer.Option(help="Processes; 0 is one per core", min=0)]
Gates = Annotated[
    bool, typer.Option("--gates", help="Print how hard this Earth is, and write nothing")
]


def simulate(
    tiles: Tiles = None,
    year: Years = None,
    out: Out = "",
    window: PartOfEach = "",
    region: RegionText = "",
    at: At = "",
    maps: Maps = None,
    stations: Number = None,
    seed: Seed = 0,
    product: Product = "glass-sm",
    sources: Sources = "",
    also: Also = "",
    references: References = False,
    shared_error: SharedError = 0.0,
    sites: Sites = PLAIN,
    workers: Workers = 0,
    gates: Gates = False,
) -> None:
    """Write a simulated Earth as MODIS, GLASS, ERA5-Land, elevation, soil and station files.

    The same request gives the same bytes; giving it again writes only what is missing.
    """
    if gates:
        show_gates(seed, GATE_STATIONS if stations is None else stations)
        return
    if at not in ("", STATIONS_WORD):
        raise ConfigError(f"--at {at!r}: expected `{STATIONS_WORD}`, or leave it out")
    if not out:
        raise ConfigError("simulate needs --out: a folder, or a URL such as s3://bucket/earth")
    years = tuple(sorted({_number(word) for word in _words(year)}))
    request = SimulateRequest(
        out=out,
        tiles=_once(tiles),
        years=years,
        seed=seed,
        window=window,
        at_stations=at == STATIONS_WORD,
        maps=_once(maps),
        stations=STATIONS if stations is None else stations,
        sources=_sources(product, years, sources, also, references),
        sites=sites,
        shared_error=shared_error,
        workers=workers or os.cpu_count() or 1,
        region=region,
    )
    listener = RichListener()
    try:
        summary = write_earth(request, listener)
    finally:
        listener.end()
    show(summary)


def show(summary: Summary) -> None:
    """Print what was written, and where."""
    places = f"pixels of {summary.tiles} tiles" if summary.tiles else "cells of 0.25 degree"
    console.print(
        f"simulated {summary.pixels:,} land {places} and "
        f"{summary.stations} stations in {summary.seconds:.1f} s: {summary.written:,} files "
        f"({summary.bytes_written / 1e6:,.1f} MB) written, {summary.kept:,} were there",
        markup=False,
    )
    console.print(f"  {summary.out}/granules", markup=False)


def show_gates(seed: int, stations: int) -> None:
    """Print the gates of a seed; a gate that is not passed ends in exit code 1."""
    if stations < GATE_STATIONS:
        raise ConfigError(f"--gates needs --stations {GATE_STATIONS} or more, found {stations}")
    report = run_gates(seed, stations, threads=os.cpu_count() or 1, listener=RichListener())
    for line in report.lines():
        console.print(line, markup=False)
    if not report.is_passed:
        raise typer.Exit(1)


def _sources(
    product: str, years: tuple[int, ...], sources: str, also: str, references: bool
) -> tuple[str, ...]:
    """Return the sources that are asked for, or those of a product, and further ones."""
    if product not in PRODUCT_SOURCES:
        raise ConfigError(f"--product {product!r}: expected one of {', '.join(PRODUCT_SOURCES)}")
    wanted = [sources] if sources else list(product_sources(product, years))
    return _once([*wanted, also, *(REFERENCES if references else ())])


def _once(texts: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_words(texts)))


def _words(texts: list[str] | None) -> list[str]:
    return [word.strip() for text in texts or [] for word in text.split(",") if word.strip()]


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise ConfigError(f"--year {word!r}: expected a calendar year such as 2019")
    return int(word)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("simulate")(simulate)
