"""The page is one file, safe and readable by machines and people."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from smcloud.validation import figures, report
from smcloud.validation.collocation import DENSITY_EDGES
from smcloud.validation.metrics import score_stations
from smcloud.validation.pairs import PairStats

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags, links and images, and fails on tags that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.images, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag == "img":
            self.images.append(found)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    days = np.arange("2019-01-01", "2019-05-01", dtype="datetime64[D]")
    rows = [
        pd.DataFrame({"station": name, "time": days, "soil_moisture": rng.random(days.size)})
        for name in ("a<b", "c&d", "e")
    ]
    table = pd.concat(rows, ignore_index=True)
    table["estimate"] = table.soil_moisture * 0.7 + rng.random(len(table)) * 0.3
    return score_stations(table)


@pytest.fixture(scope="module")
def page(scores):
    picture = report.Picture(figures.station_picture(scores.stations), "Stations", 'R of "all"')
    row = report.ScoreRow("product", "3 stations", report.values_of(scores.median), True)
    return report.render(
        report.Report(
            "Soil <moisture>",
            "2019 & more",
            [report.Tile("R", "0.7", "0.6 to 0.8")],
            [
                report.Section("scores", "Scores", [report.score_table("All", "n", [row])]),
                report.Section(
                    "stations",
                    "Stations",
                    [
                        report.figure(picture),
                        report.folded("More", report.station_table("Each", scores.stations)),
                        report.facts({"a < b": "x & y"}),
                        report.paragraph("Beware of <script>", is_warning=True),
                    ],
                ),
            ],
            "end",
        )
    )


def test_the_page_needs_no_other_file_and_no_network(page):
    for link in read(page).links:
        assert link.startswith(("#", "data:image/png;base64,")), link
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page


def test_every_link_of_the_page_has_its_section(page):
    checker = read(page)
    ids = {attrs.get("id") for _, attrs in checker.tags}
    anchors = {link[1:] for link in checker.links if link.startswith("#")}
    assert anchors == {"scores", "stations"} <= ids


def test_names_from_outside_cannot_break_the_page(page):
    assert "a&lt;b" in page
    assert "c&amp;d" in page
    assert "a<b" not in page


def test_pictures_and_tables_speak_to_screen_readers(page):
    checker = read(page)
    assert all(image["alt"] for image in checker.images)
    heads = [attrs for tag, attrs in checker.tags if tag == "th"]
    assert heads
    assert all(attrs.get("scope") in ("col", "row") for attrs in heads)
    assert sum(tag == "caption" for tag, _ in checker.tags) == 2
    assert '<html lang="en">' in page


def test_tables_show_scores_with_their_intervals(page, scores):
    row = scores.stations.iloc[0]
    assert f"{row.R:.3f}" in page
    assert f"{row.R_low:.3f} to {row.R_high:.3f}" in page


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("R", 0.12345, "0.123"),
        ("bias", -0.01, "−0.010"),
        ("bias", 0.01, "+0.010"),
        ("RMSE", np.nan, "–"),
    ],
)
def test_numbers_read_as_people_write_them(name, value, text):
    assert report.number(name, value) == text


def test_a_score_without_interval_shows_none():
    assert report.interval_text("R", report.Value(0.5)) == ""


def test_equal_figures_are_equal_bytes(scores):
    first, second = (figures.station_picture(scores.stations) for _ in range(2))
    assert first == second
    assert b"Software" not in first


def test_pictures_can_be_drawn_of_little_data():
    empty = np.zeros((len(DENSITY_EDGES) - 1,) * 2, np.int64)
    one = PairStats.of([0.1], [0.2])
    assert figures.density_picture(empty, one, "truth").startswith(b"\x89PNG")
    months = PairStats.zero((12,))
    assert figures.month_picture(months, months, "ERA5-Land").startswith(b"\x89PNG")
