"""The page of the model: the search for its parameters, and what each feature is worth."""

from collections.abc import Sequence

import numpy as np

from smcloud.models.importance import Ablation, Importance
from smcloud.models.tuning import TuningResult
from smcloud.production.assessment import Assessment
from smcloud.production.report_splits import SPLIT_LABELS
from smcloud.validation import report
from smcloud.validation.study_figures import Line, Worth, search_picture, worth_picture

TEST_SCORES = {
    "R": "R",
    "RMSE": "RMSE",
    "median_R": "median R",
    "median_ubRMSE": "median ubRMSE",
}
"""Scores of `Assessment.tuned_test` that are shown, and their heads."""


def model_sections(found: Assessment) -> list[report.Section]:
    """Return the sections about search, importance, ablation and constraints."""
    return [*_search(found), *_importance(found), *_ablation(found), *_limits(found)]


def _search(found: Assessment) -> list[report.Section]:
    if not found.tuning:
        return []
    first = found.tuning[0]
    chosen = next(trial for trial in first.trials if trial.number == first.chosen)
    lines = [
        Line(f"trial {t.number}", np.arange(1.0, len(t.scores) + 1), np.array(t.scores, float))
        for t in first.trials
    ]
    position = [trial.number for trial in first.trials].index(first.chosen)
    stated = next((trial for trial in first.trials if trial.number == 0), None)
    pieces = [
        report.paragraph(
            f"{len(first.trials)} sets of parameters were tried on stations inside fit and stop of "
            f"the outer split ({SPLIT_LABELS[first.split]}); its test stations were not seen. The "
            "better part of each rung goes on with more days."
        ),
        report.figure(
            report.Picture(
                search_picture(lines, position, first.score),
                f"Inner {first.score} of each trial. Trial 0 has the parameters of the run file.",
                f"Inner {first.score} of every trial after each rung",
                is_narrow=True,
            )
        ),
        report.facts(
            {
                "Chosen": f"trial {chosen.number}, {chosen.rounds} trees",
                **{name: str(value) for name, value in sorted(chosen.parameters.items())},
                **_gain_by_search(first, chosen.scores, stated.scores if stated else ()),
            }
        ),
    ]
    if found.tuned_test:
        pieces.append(_on_test_stations(found))
    if len(found.tuning) > 1:
        pieces.append(report.folded("Searches inside the other folds", _others(found.tuning[1:])))
    return [report.Section("search", "The search for parameters", pieces)]


def _gain_by_search(
    search: TuningResult, best: Sequence[float], stated: Sequence[float]
) -> dict[str, str]:
    rungs = min(len(best), len(stated))
    if rungs == 0:
        return {}
    at = rungs - 1
    return {
        f"Inner {search.score} after rung {rungs}": (
            f"{best[at]:.4f}, with the run file's parameters {stated[at]:.4f}"
        )
    }


def _on_test_stations(found: Assessment) -> str:
    rows = [
        [
            f"{name} parameters",
            *(report.number(score, scores.get(score, float("nan"))) for score in TEST_SCORES),
        ]
        for name, scores in sorted(found.tuned_test.items())
    ]
    caption = "On the test stations of the stored model, which no trial saw"
    return report.text_table(caption, ["", *TEST_SCORES.values()], rows)


def _others(searches: Sequence[TuningResult]) -> str:
    rows = [
        [
            f"{SPLIT_LABELS[search.split]}, fold {search.fold}, {search.variant}",
            f"trial {search.chosen}",
            ", ".join(
                f"{name} {value}"
                for trial in search.trials
                if trial.number == search.chosen
                for name, value in sorted(trial.parameters.items())
            ),
        ]
        for search in searches
    ]
    return report.text_table("Chosen parameters", ["", "chosen", "parameters"], rows, text_from=1)


def _importance(found: Assessment) -> list[report.Section]:
    if not found.importance:
        return []
    features = [item for item in found.importance if item.features == (item.name,)]
    drivers = [item for item in found.importance if item.features != (item.name,)]
    pieces = [
        report.paragraph(
            "Gain is the part of the loss that splits on a feature took away in training: it "
            "flatters what a model can memorise. Permutation asks the test stations, which were "
            "held out: how much worse are the estimates when the values of the feature are "
            "shuffled. Correlated features stand in for each other, so each looks worth less than "
            "all of them together."
        ),
    ]
    for items, heading in ((features, "Features"), (drivers, "Drivers, all features together")):
        if items:
            pieces += [report.subheading(heading), _importance_figure(items, heading)]
    return [report.Section("importance", "What each feature is worth", pieces)]


def _importance_figure(items: Sequence[Importance], heading: str) -> str:
    permuted = any(np.isfinite(item.rmse_rise) for item in items)
    ordered = sorted(
        items,
        key=lambda item: (-_known(item.rmse_rise if permuted else item.gain), item.name),
    )
    measures = ["share of the gain"]
    measures += ["RMSE rise, m³ m⁻³", "median R fall"] if permuted else []
    rows = [
        Worth(
            item.name,
            (item.gain, item.rmse_rise, item.r_fall)[: len(measures)],
            (float("nan"), item.rmse_spread, float("nan"))[: len(measures)],
        )
        for item in ordered
    ]
    picture = report.Picture(
        worth_picture(measures, rows),
        "Left as trained; the others when the values are permuted at the test stations. Lines are "
        "one standard deviation over the repeats. Orange: the estimates are better "
        "without.",
        f"Importance by gain and by permutation: {heading.lower()}",
    )
    return report.figure(picture)


def _ablation(found: Assessment) -> list[report.Section]:
    if not found.ablation:
        return []
    done = [item for item in found.ablation if not item.why_not]
    ordered = sorted(done, key=lambda item: (-_known(item.rmse_rise), item.name))
    rows = [
        Worth(item.name, (item.rmse_rise, item.median_ubrmse_rise, item.median_r_fall))
        for item in ordered
    ]
    measures = ["RMSE rise, m³ m⁻³", "median ubRMSE rise, m³ m⁻³", "median R fall"]
    pieces = [
        report.paragraph(
            "A model trained anew without all features of one driver, on the test stations of the "
            "stored one. Unlike permutation this lets the other features stand in."
        ),
        report.figure(
            report.Picture(
                worth_picture(measures, rows),
                "Blue: the driver helps on stations never seen. Orange: the model is better "
                "without it.",
                "What the test scores lose without each driver",
            )
        ),
        report.folded("Which features", _which(ordered)),
        *(report.paragraph(f"{i.name}: {i.why_not}") for i in found.ablation if i.why_not),
    ]
    return [report.Section("ablation", "Without each driver", pieces)]


def _which(items: Sequence[Ablation]) -> str:
    return report.facts({item.name: ", ".join(item.features) for item in items})


def _limits(found: Assessment) -> list[report.Section]:
    rows = {str(name): _words(value) for name, value in found.constraints.items() if value}
    rows |= {f"Seconds, {name}": f"{value:,.1f}" for name, value in found.seconds.items()}
    if not rows:
        return []
    return [report.Section("limits", "Constraints and time", [report.facts(rows)])]


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part:+d}" for name, part in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(" × ".join(map(str, v)) if isinstance(v, list | tuple) else str(v)
                         for v in value)  # fmt: skip
    return str(value)


def _known(value: float) -> float:
    return value if np.isfinite(value) else -np.inf
