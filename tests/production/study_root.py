"""An assessment as training leaves it, of made-up numbers whose gain by selection is known."""

import numpy as np
import pandas as pd

from smcloud.core.objects import open_objects
from smcloud.models.importance import Ablation, Importance
from smcloud.models.tuning import Trial, TuningResult
from smcloud.production.assessment import Assessment, StrategyScores, write_assessment
from smcloud.validation.coverage import coverage

GAIN = 0.03
"""What selection gives every test station's R, on the unselected stations and on the truth."""
SPLITS = ("random", "station", "year", "station_year")
COVERS = ("cropland", "grass", "bare ground")


def stations(n=30):
    """Test stations over three networks and three climates, some of which pass the rule."""
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "station": [f"NET{i % 3}/site{i:02d}" for i in range(n)],
            "network": [f"NET{i % 3}" for i in range(n)],
            "latitude": rng.uniform(36, 52, n),
            "longitude": rng.uniform(-8, 24, n),
            "land_cover": [str((10, 130, 200)[i % 3]) for i in range(n)],
            "climate": [("Cfa", "Bsk")[i % 2] for i in range(n)],
            "is_selected": rng.random(n) < 0.6,
            "block": [str(i) for i in range(n)],
        }
    )


def rows_of(listed):
    """One row per split, fold, variant and station."""
    rng = np.random.default_rng(2)
    skill = rng.normal(0.72, 0.1, len(listed))
    frames = []
    for split, plus in zip(SPLITS, (0.18, 0.0, 0.12, -0.03), strict=True):
        for variant, gain in (("all", 0.0), ("selected", GAIN)):
            r = np.clip(skill + plus + gain, -1, 0.98)
            frames.append(
                listed.assign(
                    split=split, fold=0, variant=variant, n=300, R=r, RMSE=0.09 - 0.05 * r,
                    ubRMSE=0.085 - 0.05 * r, bias=0.001, R_truth=r + 0.05,
                    ubRMSE_truth=0.08 - 0.05 * r,
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def assessment(name="glass-sm"):
    """Everything that a study can find out."""
    rows = rows_of(stations())
    return Assessment(
        model=name,
        sha256="ab" * 32,
        headline="station_year",
        shipped="selected",
        scores=tuple(_scores(rows)),
        selection={"kept": 40, "dropped": 20},
        tuning=(_search(),),
        tuned_test={"chosen": {"R": 0.71, "RMSE": 0.05}, "stated": {"R": 0.7, "RMSE": 0.052}},
        importance=(
            Importance("ndvi", ("ndvi",), 0.2, 0.004, 0.001, 0.05),
            Importance(
                "era5land_soil_moisture", ("era5land_soil_moisture",), 0.5, 0.02, 0.002, 0.2
            ),
            Importance("era5land", ("era5land_soil_moisture", "rain"), 0.6, 0.03, 0.002, 0.3),
        ),
        ablation=(
            Ablation("era5land", ("era5land_soil_moisture", "rain"), 0.015, 0.01, 0.2),
            Ablation("mod13a2", ("ndvi",), -0.001, -0.001, -0.005),
        ),
        coverage={"station": {"point": _coverage(rows, 1.0), "pixel": _coverage(rows, 1.6)}},
        constraints={"monotone": {"era5land_soil_moisture": 1}, "interactions": ()},
        seconds={"folds": 12.5},
        rows=rows,
    )


def _scores(rows):
    for split in SPLITS:
        for variant in ("all", "selected"):
            part = rows[(rows.split == split) & (rows.variant == variant)]
            for against, chosen, end in (
                ("all", part, ""), ("selected", part[part.is_selected], ""),
                ("truth", part, "_truth"),
            ):  # fmt: skip
                yield _one(split, variant, against, chosen, end, "")
    part = rows[(rows.split == "station") & (rows.variant == "selected") & (rows.network == "NET1")]
    yield _one("network", "selected", "all", part, "", "NET1")


def _one(split, variant, against, part, end, network):
    median = {
        name: {
            "value": float(part[name + end].median()),
            "low": float(part[name + end].quantile(0.4)),
            "high": float(part[name + end].quantile(0.6)),
        }
        for name in ("R", "ubRMSE")
    }
    return StrategyScores(
        split, variant, against, network, 1, len(part), 300 * len(part), median, median
    )


def _search():
    trials = (
        Trial(0, {"max_depth": 8, "eta": 0.05}, (0.061, 0.058, 0.0571), 120),
        Trial(1, {"max_depth": 4, "eta": 0.2}, (0.066,), 40),
        Trial(2, {"max_depth": 6, "eta": 0.03}, (0.0605, 0.0569, 0.0551), 200),
    )
    return TuningResult("station", 0, "selected", "RMSE", 2, trials)


def _coverage(rows, spread):
    rng = np.random.default_rng(3)
    names = np.repeat(rows["station"].unique(), 100)
    estimates = rng.uniform(0.05, 0.45, names.size)
    target = estimates + rng.normal(0, 0.03 * spread, names.size)
    levels = {0.5: 0.674, 0.68: 0.994, 0.9: 1.645}
    widths = {level: np.full(names.size, 0.03 * z) for level, z in levels.items()}
    return coverage(widths, estimates, target, names).to_json()


def selection():
    """The table of a selection: six stations kept, four dropped, one of each wrongly."""
    kept = np.arange(10) < 6
    return pd.DataFrame(
        {
            "station": [f"NET0/train{i}" for i in range(10)],
            "network": "NET0",
            "latitude": np.linspace(38, 50, 10),
            "longitude": np.linspace(-6, 20, 10),
            "days": 700,
            "n": 600,
            "r": np.where(kept, 0.8, 0.3),
            "r_anomaly": 0.5,
            "r_again": 0.7,
            "error_std": 0.03,
            "snr_db": 3.0,
            "status": np.uint8(0),
            "kept": kept,
            "cause": np.where(kept, "kept", "low_r"),
            "reason": np.where(kept, "kept: TC correlation 0.80", "dropped: 0.30 is below 0.50"),
        }
    )


def thresholds(*, is_known=True):
    """What other thresholds would keep of them."""
    nan = float("nan")
    return pd.DataFrame(
        {
            "minimum_r": [0.3, 0.5, 0.9],
            "kept": [10, 6, 0],
            "precision": [0.6, 5 / 6, nan] if is_known else nan,
            "recall": [1.0, 5 / 6, 0.0] if is_known else nan,
            "is_chosen": [False, True, False],
        }
    )


def truth_of_stations():
    """Which of them are representative: the rule errs once each way."""
    return pd.DataFrame(
        {
            "station": selection()["station"],
            "representative": [True] * 5 + [False, True] + [False] * 3,
        }
    )


def write(config, *, with_selection=True, found=None):
    """Store assessment and selection beside the model of a run."""
    found = assessment(config.model_name) if found is None else found
    models = open_objects(config.layout.model(""))
    write_assessment(models, found)
    if with_selection:
        key = f"{config.model_name}/selection.parquet"
        models.put(key, selection().to_parquet(index=False))
    return found
