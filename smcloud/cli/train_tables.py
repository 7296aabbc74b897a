"""What `smcloud train` prints of a model: strategies side by side, importance, search, coverage."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from smcloud.cli.console import console, table
from smcloud.models.scoring import MEANINGS, MIN_TEST_ROWS, WHY_NOT_RANDOM
from smcloud.production.assessment import Against, Assessment, StrategyScores
from smcloud.production.model_files import TrainSummary
from smcloud.validation.coverage import MEANINGS as COVERS
from smcloud.validation.coverage import NOMINAL, Coverage
from smcloud.validation.splits import SplitKind

AGAINST: Mapping[Against, str] = {
    "all": "all test stations",
    "selected": "those that pass the rule",
    "truth": "truth of their pixels",
}
STATIONS = {"all": "all", "selected": "selected"}
SHOWN_FEATURES = 8


def show(summary: TrainSummary) -> None:
    """Print what was found out about a model, the headline first, and where it lies."""
    found = summary.assessment
    if found is None:
        console.print("  the model was trained by an earlier smcloud: no assessment", markup=False)
    else:
        show_strategies(summary, found)
        show_selection(summary, found)
        show_search(found)
        show_importance(found)
        show_coverage(found)
    show_model(summary)


def show_strategies(summary: TrainSummary, found: Assessment) -> None:
    """Print the medians over test stations of every split and variant, as the paper's table."""
    card = summary.card
    units = f", {card.target_units}" if card.target_units else ""
    with_selection = found.selection is not None or any(
        s.variant == "selected" for s in found.scores
    )
    head = ["test set", "scored on", "stations", "rows", "R", "RMSE", "median R", "median ubRMSE"]
    if with_selection:
        head.insert(1, "fitted on")
    rows = [
        _row(part, with_selection)
        for kind in MEANINGS
        for part in _of_kind(found, kind)
        if not part.why_not
    ]
    table(f"{card.name}: {card.target}{units}, on test sets", head, rows)
    for part in found.scores:
        if part.why_not:
            which = f"{MEANINGS[part.split]}, fitted on {part.variant} stations: "
            console.print(f"  {which if with_selection else ''}{part.why_not}", markup=False)
    _show_headline(found)
    console.print(f"  random days are no result: {WHY_NOT_RANDOM}", markup=False)


def _of_kind(found: Assessment, kind: SplitKind) -> list[StrategyScores]:
    """Return the scores of a split: all test stations, the selected ones, the truth."""
    order = list(AGAINST)
    parts = [part for part in found.scores if part.split == kind]
    # The random split is a reference: one line says it.
    parts = [part for part in parts if kind != "random" or part.against == "all"]
    return sorted(parts, key=lambda p: (order.index(p.against), p.network, p.variant))


def _row(part: StrategyScores, with_selection: bool) -> list[str]:
    shown = [part.overall["R"], part.overall["RMSE"], part.median["R"], part.median["ubRMSE"]]
    name = part.network or MEANINGS[part.split]
    cells = [f"  {name}" if part.network else name]
    cells += [STATIONS[part.variant]] if with_selection else []
    cells += [AGAINST[part.against], f"{part.stations:,}", f"{part.rows:,}"]
    return cells + [f"{score['value']:.3f}" for score in shown]


def _show_headline(found: Assessment) -> None:
    part = found.scores_of(found.headline, found.shipped)
    if part is None or part.why_not:
        return
    if not part.stations:
        console.print(
            f"  headline: {MEANINGS[found.headline]}: unknown, for no station has {MIN_TEST_ROWS} "
            "test rows or more",
            markup=False,
        )
        return
    text = [
        f"{label}{name} {_interval(scores[name])}"
        for label, scores, name in (
            ("", part.overall, "R"),
            ("", part.overall, "RMSE"),
            ("median ", part.median, "R"),
            ("median ", part.median, "ubRMSE"),
        )
    ]
    folds = f", {part.folds} folds" if part.folds > 1 else ""
    meaning = f"{MEANINGS[found.headline]} (95 %{folds})"
    console.print(f"  headline: {meaning}: {', '.join(text)}", markup=False)


def _interval(score: Mapping[str, float]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f} to {score['high']:.3f}]"


def show_selection(summary: TrainSummary, found: Assessment) -> None:
    """Print how many stations to learn from were kept, and why the others were not."""
    if found.selection is None:
        return
    kept, stations = found.selection["kept"], found.selection["stations"]
    reasons = "; ".join(
        f"{reason}: {count}" for reason, count in found.selection["reasons"].items()
    )
    console.print(
        f"  triple collocation keeps {kept} of {stations} stations ({reasons})", markup=False
    )
    right = summary.verdicts
    if right is not None:
        low, high = right.precision_interval
        console.print(
            f"  selection: precision {right.precision:.2f} [{low:.2f} to {high:.2f}], "
            f"{right.representative_share:.2f} without it; recall {right.recall:.2f}",
            markup=False,
        )
    show_thresholds(summary.thresholds)


def show_thresholds(found: pd.DataFrame | None) -> None:
    """Print what each threshold keeps of the stations judged, and how often that is right."""
    if found is None:
        return
    is_known = bool(found["recall"].notna().any())
    head = ["kept from r", "stations", *(["precision", "recall"] if is_known else [])]
    rows = []
    for row in found.to_dict("records"):
        shares = [f"{row[name]:.2f}" for name in ("precision", "recall")] if is_known else []
        chosen = " (the rule)" if row["is_chosen"] else ""
        rows.append([f"{row['minimum_r']:.2f}{chosen}", str(row["kept"]), *shares])
    table("stations to learn from, by the threshold of their TC correlation", head, rows)


def show_search(found: Assessment) -> None:
    """Print what the search chose, and what it is worth on stations that no trial saw."""
    if not found.tuning:
        return
    result = found.tuning[0]
    first, best = result.trials[0], result.trials[result.chosen]
    chosen = ", ".join(f"{name} {value:g}" for name, value in best.parameters.items())
    console.print(
        f"  search: candidate {result.chosen} of {len(result.trials)}, inner {result.score} "
        f"{best.scores[-1]:.4f} (stated parameters {first.scores[-1]:.4f}): {chosen}",
        markup=False,
    )
    parts = [
        f"{name} R {scores['R']:.3f} RMSE {scores['RMSE']:.4f}"
        for name, scores in found.tuned_test.items()
    ]
    console.print(f"  on the test stations of the stored model: {'; '.join(parts)}", markup=False)


def show_importance(found: Assessment) -> None:
    """Print the features that the test stations miss most, and what doing without drivers costs."""
    features = [part for part in found.importance if part.features == (part.name,)]
    drivers = [part for part in found.importance if part.features != (part.name,)]
    if not features or features[0].rmse_rise != features[0].rmse_rise:
        return
    without = {part.name: part for part in found.ablation}
    head = ["features", "gain", "RMSE rise, permuted", "median R fall, permuted"]
    head += ["RMSE rise, without"] if without else []
    ranked = sorted(drivers, key=lambda part: -part.rmse_rise)
    ranked += sorted(features, key=lambda part: -part.rmse_rise)[:SHOWN_FEATURES]
    rows = []
    for part in ranked:
        row = [
            part.name if part.features == (part.name,) else f"all of {part.name}",
            f"{part.gain:.3f}",
            f"{part.rmse_rise:+.4f} ± {part.rmse_spread:.4f}",
            f"{part.r_fall:+.3f}",
        ]
        if without:
            row.append(f"{without[part.name].rmse_rise:+.4f}" if part.name in without else "")
        rows.append(row)
    table("what the stored model loses on its test stations", head, rows)


def show_coverage(found: Assessment) -> None:
    """Print how often intervals held the value of stations that nothing had seen."""
    rows = [row for name, parts in found.coverage.items() for row in _coverage_rows(name, parts)]
    if rows:
        head = ["intervals around estimates of", "of", "nominal", "held", "by station", "width"]
        table("uncertainty on test sets", head, rows)


def _coverage_rows(name: SplitKind, parts: Mapping[str, Any]) -> list[list[str]]:
    """Return the reported levels of one test set; none where there is no uncertainty."""
    return [
        [
            MEANINGS[name],
            covers,
            f"{row.nominal:.0%}",
            f"{row.covered:.1%}",
            f"{row.covered_by_station:.1%}",
            f"{row.width:.3f}",
        ]
        for covers, body in parts.items()
        if covers in COVERS
        for row in Coverage.from_json(body).by("all")
        if row.nominal in NOMINAL
    ]


def show_model(summary: TrainSummary) -> None:
    """Print what the stored model was made of, and where it lies."""
    card = summary.card
    fit = card.sets["fit"]
    console.print(
        f"  {card.rounds} trees on {fit['rows']:,} rows of {fit['stations']} stations"
        + (", continued from a checkpoint" if card.resumed else "")
        + (", over the cluster's workers" if card.distributed else "")
    )
    console.print(f"  model {summary.model_url}", markup=False)
    console.print(f"  scores {summary.scores_url}", markup=False)
