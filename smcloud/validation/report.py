"""One self-contained HTML page about a product year: pictures, scores, splits, provenance.

The page holds its style and its pictures and loads nothing. Its parts are plain records, so that
a caller (the validate stage, a study) composes a report and `render` knows nothing of cubes.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
import pandas as pd

from smcloud.validation.metrics import SCORES, Interval

RANDOM_SPLIT_REASON = (
    "The random split is a reference and not a result. It puts days of one station on both sides, "
    "so a model that merely remembers its stations scores well. The authors of GLASS SM report "
    "R 0.941 and RMSE 0.038 for a random split and call it, in their own abstract, “clearly a "
    "result of model overfitting” (Zhang et al. 2023, doi:10.5194/essd-15-2055-2023). "
    "What a map shows away from stations is told by stations the model has never seen."
)


@dataclass(frozen=True)
class Value:
    """A score with its confidence interval; NaN ends where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, interval: Interval) -> "Value":
        """Return a score of `metrics` with its interval."""
        return cls(*(float(part) for part in interval))

    @classmethod
    def named(cls, found: Mapping[str, float]) -> "Value":
        """Return what is stored as value, low and high."""
        return cls(found["value"], found["low"], found["high"])


@dataclass(frozen=True)
class ScoreRow:
    """One line of a table of scores."""

    label: str
    counted: str
    """How many pairs, stations or pixels, in words."""
    scores: Mapping[str, Value]
    is_headline: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows, for eyes (caption) and for screen readers (alt)."""

    png: bytes
    caption: str
    alt: str
    is_narrow: bool = False


@dataclass(frozen=True)
class Tile:
    """A number at the head of the page."""

    name: str
    value: str
    range: str


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; pieces of HTML made by the functions of this module."""

    key: str
    heading: str
    pieces: Sequence[str]


@dataclass(frozen=True)
class Link:
    """A way to another page of the same report, by a relative address."""

    label: str
    href: str


@dataclass(frozen=True)
class Report:
    """A whole page."""

    title: str
    subtitle: str
    tiles: Sequence[Tile] = field(default=())
    sections: Sequence[Section] = field(default=())
    footer: str = ""
    pages: Sequence[Link] = field(default=())
    """The other pages of the report; this one has none that it links to by default."""


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header><div>
<h1>$title</h1>
<p>$subtitle</p>
</div></header>
$pages<nav aria-label="Sections"><div>$links</div></nav>
<main>
$tiles
$sections
</main>
<footer><div>$footer</div></footer>
</body>
</html>
""")


def render(report: Report) -> str:
    """Return the page as one HTML text that needs no other file and no network."""
    return _PAGE.substitute(
        title=escape(report.title),
        subtitle=escape(report.subtitle),
        pages=_pages(report.pages),
        style=files("smcloud.validation").joinpath("report.css").read_text(encoding="utf-8"),
        links=" ".join(
            f'<a href="#{escape(section.key)}">{escape(section.heading)}</a>'
            for section in report.sections
        ),
        tiles=_tiles(report.tiles),
        sections="\n".join(_section(section) for section in report.sections),
        footer=escape(report.footer),
    )


def paragraph(text: str, *, is_warning: bool = False) -> str:
    """Return a paragraph; a warning stands out."""
    return f'<p class="warning">{escape(text)}</p>' if is_warning else f"<p>{escape(text)}</p>"


def text_table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, text_from: int = 99
) -> str:
    """Return a table of texts; columns from number `text_from` on are words, not numbers."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(
            f'<td class="text">{escape(cell)}</td>'
            if number >= text_from
            else f"<td>{escape(cell)}</td>"
            for number, cell in enumerate(rest, 1)
        )
        + "</tr>"
        for first, *rest in rows
    )
    return _table(caption, head, body)


def subheading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def figure(picture: Picture) -> str:
    """Return a picture with its caption, the PNG inside the page."""
    data = base64.b64encode(picture.png).decode("ascii")
    kind = ' class="narrow"' if picture.is_narrow else ""
    return (
        f'<figure{kind}><img src="data:image/png;base64,{data}" alt="{escape(picture.alt)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def side_by_side(pieces: Sequence[str]) -> str:
    """Return pieces next to each other where the window is wide enough."""
    return '<div class="side">' + "".join(pieces) + "</div>"


def folded(summary: str, piece: str) -> str:
    """Return a piece that the reader opens."""
    return f"<details><summary>{escape(summary)}</summary>{piece}</details>"


def facts(rows: Mapping[str, str]) -> str:
    """Return a list of names and values."""
    inner = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows.items()
    )
    return f'<dl class="facts">{inner}</dl>'


def code(text: str) -> str:
    """Return text as it stands, in a fixed-width box."""
    return f"<pre>{escape(text)}</pre>"


def score_table(caption: str, counted: str, rows: Sequence[ScoreRow]) -> str:
    """Return a table of scores with intervals; headline rows stand out."""
    names = [name for name in SCORES if any(name in row.scores for row in rows)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(_row(row, names) for row in rows)
    return _table(
        caption, f'<th scope="col"></th><th scope="col">{escape(counted)}</th>{head}', body
    )


def station_table(caption: str, stations: pd.DataFrame) -> str:
    """Return the table of every station's scores with intervals, in the order given.

    `stations` is `StationScores.stations`: station, n, n_effective, scores with _low and _high.
    """
    rows = [
        ScoreRow(
            str(row["station"]),
            f"{int(row['n']):,} ({row['n_effective']:.0f})",
            {name: Value(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in SCORES},
        )
        for row in stations.to_dict("records")
    ]
    return score_table(caption, "days (independent)", rows)


def values_of(summary: pd.DataFrame) -> dict[str, Value]:
    """Return the scores of a summary (`StationScores.median` or `.overall`) by name."""
    return {
        str(name): Value(float(row["value"]), float(row["low"]), float(row["high"]))
        for name, row in summary.iterrows()
    }


def number(name: str, value: float) -> str:
    """Return a score as people read it: three digits, a sign for the bias, a dash for unknown."""
    if not np.isfinite(value):
        return "–"
    return f"{value:+.3f}".replace("-", "−") if name == "bias" else f"{value:.3f}"


def interval_text(name: str, value: Value) -> str:
    """Return the interval in words, or nothing where there is none."""
    if not (np.isfinite(value.low) and np.isfinite(value.high)):
        return ""
    return f"{number(name, value.low)} to {number(name, value.high)}"


def _row(row: ScoreRow, names: Sequence[str]) -> str:
    kind = ' class="headline"' if row.is_headline else ""
    cells = "".join(f"<td>{_cell(name, row.scores.get(name))}</td>" for name in names)
    return (
        f'<tr{kind}><th scope="row">{escape(row.label)}</th>'
        f"<td>{escape(row.counted)}</td>{cells}</tr>"
    )


def _cell(name: str, value: Value | None) -> str:
    if value is None:
        return "–"
    interval = interval_text(name, value)
    return number(name, value.value) + (
        f'<br><span class="range">{interval}</span>' if interval else ""
    )


def _table(caption: str, head: str, body: str) -> str:
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _tiles(tiles: Sequence[Tile]) -> str:
    if not tiles:
        return ""
    inner = "".join(
        f'<li><span class="name">{escape(tile.name)}</span>'
        f'<span class="value">{escape(tile.value)}</span>'
        f'<span class="range">{escape(tile.range)}</span></li>'
        for tile in tiles
    )
    return f'<ul class="tiles">{inner}</ul>'


def _pages(pages: Sequence[Link]) -> str:
    if not pages:
        return ""
    links = " ".join(f'<a href="{escape(page.href)}">{escape(page.label)}</a>' for page in pages)
    return f'<nav class="pages" aria-label="Pages of this report"><div>{links}</div></nav>\n'


def _section(section: Section) -> str:
    return (
        f'<section id="{escape(section.key)}"><h2>{escape(section.heading)}</h2>'
        + "\n".join(section.pieces)
        + "</section>"
    )
