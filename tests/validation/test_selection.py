"""Stations are kept for their agreement with independent products, each with a reason."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import ConfigError, UserError
from smcloud.validation import selection
from smcloud.validation.selection import (
    SelectionRules,
    counted_reasons,
    kept_at,
    kept_stations,
    select_stations,
)
from smcloud.validation.triple_collocation import Status
from smcloud.validation.verdicts import Verdicts, by_threshold, precision_recall

DAYS = np.arange(np.datetime64("2017-01-01"), np.datetime64("2020-01-01"))
PLAIN = SelectionRules(otherwise=(), bootstrap_draws=0)


def red_noise(rng, memory):
    steps = rng.standard_normal(len(DAYS)) * np.sqrt(1 - memory**2)
    steps[0] /= np.sqrt(1 - memory**2)
    for day in range(1, len(DAYS)):
        steps[day] += memory * steps[day - 1]
    return steps


def station_rows(name, noise, rng, signal=None):
    """Three years of a station whose error is `noise` times the signal, and its references."""
    signal = red_noise(rng, 0.9) if signal is None else signal
    error = [red_noise(rng, 0.4) for _ in range(4)]
    return pd.DataFrame(
        {
            "station": name,
            "network": name.split("/")[0],
            "latitude": 45.0,
            "longitude": 10.0,
            "time": DAYS,
            "soil_moisture": 0.25 + 0.04 * (signal + noise * error[0]),
            "era5land": 0.30 + 0.03 * (signal + 0.7 * error[1]),
            "smap_l3": 0.20 + 0.06 * (signal + 0.8 * error[2]),
            "cci_active": 50 + 12 * (signal + 0.9 * error[3]),
        }
    ).astype({"soil_moisture": np.float32})


@pytest.fixture(scope="module")
def network():
    """Twelve stations: even numbers measure their pixel, odd ones mostly themselves."""
    rng = np.random.default_rng(1)
    parts = [station_rows(f"NET/{i:02d}", 3.0 if i % 2 else 0.4, rng) for i in range(12)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def table(network):
    return select_stations(network, PLAIN)


def truth_of(table):
    return pd.DataFrame(
        {"station": table["station"], "representative": [True, False] * (len(table) // 2)}
    )


def test_stations_that_measure_their_pixel_are_kept(table):
    assert kept_stations(table) == {f"NET/{i:02d}" for i in range(0, 12, 2)}
    known_r = 1 / np.sqrt(1 + np.where(table["kept"], 0.4, 3.0) ** 2)
    np.testing.assert_allclose(table["r"], known_r, atol=0.1)
    good = table[table["kept"]]
    np.testing.assert_allclose(good["error_std"], 0.04 * 0.4, rtol=0.3)
    np.testing.assert_allclose(good["beta_2"], 0.04 / 0.03, rtol=0.15)
    np.testing.assert_allclose(good["r_again"], good["r"], atol=0.1)
    assert (table["n"] == len(DAYS)).all()


def test_every_station_says_why(table):
    kept, dropped = table.iloc[0], table.iloc[1]
    assert kept["reason"].startswith("kept: TC correlation 0.9")
    assert f"over {len(DAYS)} days" in kept["reason"]
    assert dropped["reason"].startswith("dropped: TC correlation 0.")
    assert dropped["reason"].endswith("is below 0.50")
    assert counted_reasons(table) == [
        ("kept", 6),
        ("dropped: TC correlation below the threshold", 6),
    ]


def test_the_order_of_rows_and_the_company_of_a_station_change_nothing(network, table, monkeypatch):
    monkeypatch.setattr(selection, "STATIONS_AT_ONCE", 5)
    shuffled = network.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(select_stations(shuffled, PLAIN), table)
    alone = select_stations(network[network["station"] == "NET/04"], PLAIN)
    pd.testing.assert_series_equal(alone.iloc[0], table.iloc[4], check_names=False)


def test_intervals_are_reported_and_decide_nothing(network, table):
    drawn = select_stations(network, replace(PLAIN, bootstrap_draws=100))
    assert drawn["kept"].equals(table["kept"])
    assert ((drawn["r_low"] < drawn["r"]) & (drawn["r"] < drawn["r_high"])).all()
    assert ((drawn["error_std_low"] < drawn["error_std"])[drawn["kept"]]).all()
    assert (
        (drawn["snr_db_low"] < drawn["snr_db"]) & (drawn["snr_db"] < drawn["snr_db_high"])
    ).all()
    assert "(0." in drawn["reason"].iloc[0]
    assert table["r_low"].isna().all()


def test_the_anomaly_form_judges_what_is_left_of_the_seasons():
    rng = np.random.default_rng(5)
    season = 2.0 * np.sin(2 * np.pi * np.arange(len(DAYS)) / 365.25)
    seasonal = station_rows("NET/seasons", 2.5, rng, season + 0.5 * red_noise(rng, 0.8))
    steady = station_rows("NET/whole", 0.3, rng)
    references = pd.concat([seasonal, steady], ignore_index=True)
    raw = select_stations(references, replace(PLAIN, minimum_r=0.45))
    anomaly = select_stations(references, replace(PLAIN, minimum_r=0.45, form="anomaly"))
    assert kept_stations(raw) == {"NET/seasons", "NET/whole"}
    assert kept_stations(anomaly) == {"NET/whole"}
    assert raw["r_anomaly"].equals(anomaly["r_anomaly"]), "both forms are always in the table"
    assert anomaly["cause"].tolist() == ["low_r", "kept"]


def spoilt(network):
    """The network with one fault a station, in the even ones, and what is said of it."""
    bad = network.copy()
    at = {name: bad["station"] == name for name in bad["station"].unique()}
    bad.loc[at["NET/00"], "soil_moisture"] = np.nan
    bad.loc[at["NET/02"], "smap_l3"] = np.nan
    few = at["NET/04"] & (bad["time"] >= np.datetime64("2017-03-01"))
    bad.loc[few, "era5land"] = np.nan
    bad.loc[at["NET/06"], "soil_moisture"] = np.float32(0.31)
    bad.loc[at["NET/08"], "soil_moisture"] *= -1
    return bad


@pytest.mark.parametrize(
    ("station", "cause", "status", "reason"),
    [
        ("NET/00", "no_usable_day", Status.ABSENT, "the station has no usable day"),
        ("NET/02", "no_usable_day", Status.ABSENT, "smap_l3 is unknown on all 1095 days"),
        ("NET/04", "too_few", Status.TOO_FEW, "59 days on which era5land and smap_l3 .* 100 are"),
        ("NET/06", "constant", Status.CONSTANT, "does not vary over 1095 days"),
        ("NET/08", "low_r", Status.NEGATIVE_CORRELATION, "correlation -0.9.* is below 0.50"),
    ],
)
def test_a_station_that_cannot_be_judged_has_a_status(network, station, cause, status, reason):
    found = select_stations(spoilt(network), PLAIN).set_index("station").loc[station]
    assert found["cause"] == cause
    assert found["status"] & status
    assert not found["kept"]
    assert pd.Series([found["reason"]]).str.contains(reason).all(), found["reason"]


def test_a_station_beyond_one_passes_by_its_plain_correlation(network, monkeypatch):
    """An excellent station may have a negative error variance; it is not dropped for that."""
    rng = np.random.default_rng(0)
    whole = station_rows("NET/perfect", 0.0, rng)
    signal = whole["soil_moisture"].to_numpy(float)
    y, z = (signal + 0.02 * red_noise(rng, 0.4) for _ in range(2))
    common = -0.008 * red_noise(rng, 0.4)  # makes the covariance of the references too small
    whole = whole.assign(era5land=y + common, smap_l3=z - common)
    references = pd.concat([whole, network])
    found = select_stations(references, PLAIN).set_index("station")
    perfect = found.loc["NET/perfect"]
    assert perfect["r"] > 1.0
    assert perfect["status"] & Status.NEGATIVE_VARIANCE
    assert np.isnan(perfect["error_std"])
    assert perfect["kept"]
    assert "error variance is negative over 1095 days" in perfect["reason"]
    strict = replace(PLAIN, minimum_r=0.9, again=())
    assert "NET/perfect" in kept_stations(select_stations(references, strict))
    monkeypatch.setattr(selection, "PLAIN_R", 0.9)
    doubtful = select_stations(references, strict).set_index("station").loc["NET/perfect"]
    assert doubtful["cause"] == "negative_variance"
    assert doubtful["reason"].endswith("below 0.90")


def test_no_station_left_is_one_clear_line(network):
    message = r"keeps none of 12 stations .*highest TC corr.*minimum_r"
    with pytest.raises(UserError, match=message) as e:
        select_stations(network, replace(PLAIN, minimum_r=0.99))
    assert "\n" not in str(e.value)


def test_a_second_triplet_that_disagrees_is_named(network, table):
    same = network.assign(cci_active=100 * network["smap_l3"])
    same.loc[same["station"] == "NET/04", "cci_active"] = np.nan
    found = select_stations(same, replace(PLAIN, minimum_r=0.8))
    assert kept_stations(found) == kept_stations(table), "the second triplet decides nothing"
    reasons = found.set_index("station")["reason"]
    assert reasons["NET/00"].endswith("; but 0.71 with cci_active and smap_l3")
    assert reasons["NET/04"].endswith("; but no figure with cci_active and smap_l3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": ("era5land", "cci_combined")}, "cci_combined: its values are scaled"),
        ({"again": ("cci_combined", "smap_l3")}, "selection.again names cci_combined"),
        ({"members": ("era5land", "era5land")}, "two different products"),
        ({"again": ("smap_l3",)}, "two different products"),
        ({"members": ("soil_moisture", "smap_l3")}, "two different products"),
        ({"minimum_r": 1.2}, "minimum_r is 1.2"),
        ({"minimum_samples": 2}, "minimum_samples must be 3"),
        ({"form": "daily"}, "form is 'daily'"),
    ],
)
def test_rules_that_cannot_be_are_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="smap_l3"), "no column 'smap_l3'"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: pd.concat([t, t.iloc[[7]]]), "NET/00 has two rows of 2017-01-08"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(network, spoil, message):
    with pytest.raises(UserError, match=message):
        select_stations(spoil(network), PLAIN)


def test_precision_and_recall_count_stations(table):
    truth = truth_of(table)
    assert precision_recall(table, truth) == Verdicts(6, 0, 6, 0)
    other = truth.assign(representative=[True] * 3 + [False] * 9)
    found = precision_recall(table, other)
    assert (found.kept_right, found.kept_wrong, found.dropped_wrong) == (2, 4, 1)
    assert found.precision == pytest.approx(2 / 6)
    assert found.recall == pytest.approx(2 / 3)
    assert found.representative_share == pytest.approx(3 / 12)
    low, high = found.precision_interval
    assert (round(low, 3), round(high, 3)) == (0.097, 0.700), "Wilson's interval of 2 in 6"


def test_a_truth_of_other_stations_is_refused(table):
    with pytest.raises(UserError, match="knows none of 12 stations, such as NET/00"):
        precision_recall(table, truth_of(table).assign(station="x"))
    with pytest.raises(UserError, match="no column 'representative'"):
        precision_recall(table, pd.DataFrame({"station": ["a"]}))
    partly = truth_of(table).iloc[:4]
    assert precision_recall(table, partly).unknown == 8


def test_other_thresholds_are_told_by_their_precision_and_recall(table):
    found = by_threshold(table, PLAIN, truth_of(table), (0.99, 0.0))
    assert found["minimum_r"].tolist() == [0.0, 0.5, 0.99], "the rule's own is among them"
    assert found["is_chosen"].tolist() == [False, True, False]
    assert found["kept"].tolist() == [12, 6, 0]
    assert found["recall"].tolist() == [1.0, 1.0, 0.0]
    assert found["precision"].tolist()[:2] == [0.5, 1.0]
    assert np.isnan(found["precision"].iloc[2]), "of no station there is no share"
    unknown = by_threshold(table, PLAIN)
    assert unknown["kept"].is_monotonic_decreasing
    assert unknown["recall"].isna().all()


def test_another_threshold_keeps_what_the_rule_itself_would_keep(network):
    """Stations beyond r = 1 and those judged by the triplet for otherwise are no exception."""
    rules = replace(PLAIN, otherwise=("era5land", "cci_active"))
    dark = network.copy()
    dark.loc[dark["station"].isin(["NET/00", "NET/01"]), "smap_l3"] = np.nan
    table = select_stations(dark, rules)
    for threshold in (0.0, 0.2, 0.4, 0.85, 0.93):
        strict = select_stations(dark, replace(rules, minimum_r=threshold))
        assert kept_at(table, rules, threshold).tolist() == strict["kept"].tolist(), threshold


def test_a_table_of_another_rule_is_not_judged_again(table):
    rules = replace(PLAIN, otherwise=("era5land", "cci_passive"))
    with pytest.raises(UserError, match="no column 'days_cci_passive': it was made by another"):
        kept_at(table, rules, 0.7)


def test_another_triplet_judges_where_the_first_has_no_days(network):
    """A station is not bad for standing where SMAP tells nothing."""
    dark = network.copy()
    at = {name: dark["station"] == name for name in dark["station"].unique()}
    dark.loc[at["NET/00"] | at["NET/01"], "smap_l3"] = np.nan
    dark.loc[at["NET/02"], ["smap_l3", "cci_active"]] = np.nan
    dark.loc[at["NET/04"], "soil_moisture"] = np.float32(0.31)
    found = select_stations(dark, replace(PLAIN, otherwise=("era5land", "cci_active")))
    reasons = found.set_index("station")["reason"]
    assert reasons["NET/00"].startswith("kept: TC correlation 0.9")
    judged = "judged with era5land and cci_active, for smap_l3 is unknown on all 1095 days of"
    assert f"; {judged} the station" in reasons["NET/00"]
    assert reasons["NET/01"].startswith("dropped: TC correlation")
    assert reasons["NET/02"] == "dropped: smap_l3 is unknown on all 1095 days of the station"
    assert reasons["NET/04"].endswith("does not vary over 1095 days"), "that is a verdict"
