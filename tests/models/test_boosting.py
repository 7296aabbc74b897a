"""Trees that are stopped in time, resumed from the store, and read back only when sound."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from smcloud.core.errors import ConfigError, ModelError, NotFoundError, UserError
from smcloud.core.objects import Objects, open_objects
from smcloud.models.base import CARD, ModelCard, content_hash, save_model
from smcloud.models.boosting import (
    CHUNK_ROWS,
    BoostingParams,
    Rows,
    Trained,
    is_distributed,
    load_model,
    train_boosting,
)
from smcloud.models.checkpoints import CHECKPOINT_ROUNDS, GrowingRules, last_checkpoint

COLUMNS = ("ndvi", "lst", "rain")
PARAMS = BoostingParams(rounds=60, early_stopping=60, seed=3, trees={"max_depth": 4}, threads=1)


def world(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, len(COLUMNS))).astype(np.float32)
    target = 0.2 + 0.05 * features[:, 0] * features[:, 1] + 0.02 * np.sin(3 * features[:, 2])
    features[rng.random(features.shape) < 0.1] = np.nan
    return Rows(features, (target + rng.normal(0, 0.01, n)).astype(np.float32))


@pytest.fixture(scope="module")
def fit() -> Rows:
    return world(4000, 1)


@pytest.fixture(scope="module")
def stop() -> Rows:
    return world(1000, 2)


@pytest.fixture(scope="module")
def trained(fit: Rows, stop: Rows) -> Trained:
    return train_boosting(fit, stop, PARAMS)


def card_of(trained: Trained) -> ModelCard:
    return ModelCard(
        name="test-sm",
        target="soil_moisture",
        target_units="m3 m-3",
        columns=COLUMNS,
        units=("1", "K", "mm"),
        training_keys=("sin1km/h18v04/2019",),
        sets={"fit": {"rows": 4000, "stations": 40, "blocks": 8}},
        scores={"station": {"R": 0.7, "median_R": float("nan")}},
        params=PARAMS.stated(),
        versions={"smcloud": "0", "xgboost": xgboost.__version__},
        seed=PARAMS.seed,
        rounds=trained.rounds,
        resumed=trained.resumed,
        distributed=trained.distributed,
        input_hash="0" * 24,
        sha256=content_hash(trained.data),
    )


@pytest.fixture
def models(tmp_path, trained: Trained) -> Objects:
    objects = open_objects(str(tmp_path))
    save_model(objects, "test-sm", trained.data, card_of(trained))
    return objects


def test_a_stored_model_predicts_what_xgboost_does(models: Objects, trained: Trained) -> None:
    rows = world(CHUNK_ROWS + 17, 5).features
    expected = xgboost.Booster(model_file=bytearray(trained.data)).inplace_predict(rows)
    found = load_model(models, "test-sm", COLUMNS).predict(np.ascontiguousarray(rows.T))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


def test_unknown_values_are_a_branch_and_not_a_zero(models: Objects) -> None:
    model = load_model(models, "test-sm")
    columns = np.zeros((3, 2), np.float32)
    columns[:, 1] = np.nan
    zero, unknown = model.predict(columns)
    assert zero != unknown


def test_no_rows_give_no_estimates(models: Objects) -> None:
    assert load_model(models, "test-sm").predict(np.empty((3, 0), np.float32)).shape == (0,)


def test_a_flipped_byte_is_found_before_the_model_is_parsed(
    models: Objects, trained: Trained
) -> None:
    key = f"test-sm/{content_hash(trained.data)}.ubj"
    damaged = bytearray(trained.data)
    damaged[len(damaged) // 2] ^= 1
    models.put(key, bytes(damaged))
    with pytest.raises(ModelError, match="damaged: expected sha256"):
        load_model(models, "test-sm")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("ndvi", "lst"), "missing rain"),
        ((*COLUMNS, "lai"), "extra lai"),
        (("ndvi", "rain", "lai"), "missing lst; extra lai"),
        (("lst", "ndvi", "rain"), "other order: expected ndvi, lst, rain, found lst, ndvi, rain"),
    ],
)
def test_other_columns_are_named(models: Objects, columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(models, "test-sm", columns)


def test_a_block_of_other_features_is_refused(models: Objects) -> None:
    with pytest.raises(ModelError, match="takes 3 features, found 4"):
        load_model(models, "test-sm").predict(np.zeros((4, 5), np.float32))


def test_a_card_of_another_version_is_refused(models: Objects) -> None:
    text = models.get(f"test-sm/{CARD}").replace(b'"card_version": 1', b'"card_version": 99')
    models.put(f"test-sm/{CARD}", text)
    with pytest.raises(ModelError, match="version 99, this smcloud reads version 1"):
        load_model(models, "test-sm")


@pytest.mark.parametrize("text", [b"not json", b"[]", b'{"card_version": 1}'])
def test_a_broken_card_is_one_clear_error(models: Objects, text: bytes) -> None:
    models.put(f"test-sm/{CARD}", text)
    with pytest.raises(ModelError, match="train the model again"):
        load_model(models, "test-sm")


def test_no_model_says_to_train_first(models: Objects) -> None:
    with pytest.raises(NotFoundError, match="run `smcloud train` first"):
        load_model(models, "other-sm")


def test_a_card_of_other_bytes_is_not_saved(models: Objects, trained: Trained) -> None:
    with pytest.raises(ModelError, match="belongs to other bytes"):
        save_model(models, "test-sm", trained.data + b"x", card_of(trained))


def test_a_card_is_the_same_bytes_after_reading(models: Objects) -> None:
    text = models.get(f"test-sm/{CARD}")
    card = ModelCard.from_json(text, "card")
    assert np.isnan(card.scores["station"]["median_R"])
    assert card.to_json() == text
    assert b"NaN" not in text


def test_equal_seeds_give_equal_bytes_and_others_do_not(
    fit: Rows, stop: Rows, trained: Trained
) -> None:
    assert train_boosting(fit, stop, PARAMS).data == trained.data
    assert train_boosting(fit, stop, replace(PARAMS, seed=4)).data != trained.data


def test_the_number_of_bins_reaches_the_trees(fit: Rows, stop: Rows, trained: Trained) -> None:
    def most_thresholds(found: Trained) -> int:
        trees = xgboost.Booster(model_file=bytearray(found.data)).trees_to_dataframe()
        return int(trees[trees.Feature != "Leaf"].groupby("Feature").Split.nunique().max())

    coarse = replace(PARAMS, trees={**PARAMS.trees, "max_bin": 4})
    assert most_thresholds(train_boosting(fit, stop, coarse)) <= 4 < most_thresholds(trained)


def test_growing_stops_where_the_stop_set_is_met_best(fit: Rows) -> None:
    rng = np.random.default_rng(0)
    few = Rows(fit.features[:200], rng.random(200).astype(np.float32))
    other = Rows(fit.features[200:400], rng.random(200).astype(np.float32))
    found = train_boosting(few, other, replace(PARAMS, rounds=200, early_stopping=5))
    assert len(found.history) == found.rounds + 5
    assert found.history[found.rounds - 1] == min(found.history)
    booster = xgboost.Booster(model_file=bytearray(found.data))
    assert booster.num_boosted_rounds() == found.rounds
    assert booster.attributes() == {}


class Killed(Exception):
    """Stands for a SIGKILL."""


def kill_after(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    whole = GrowingRules.after_iteration

    def until(self, model, epoch, evals_log):
        last = whole(self, model, epoch, evals_log)
        if len(self.history) >= rounds:
            raise Killed
        return last

    monkeypatch.setattr(GrowingRules, "after_iteration", until)


def run_killed(fit: Rows, stop: Rows, url: str, rounds: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, rounds)
        with pytest.raises(Killed):
            train_boosting(fit, stop, PARAMS, checkpoints=url)


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    tmp_path, fit: Rows, stop: Rows, trained: Trained
) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS * 2 + 5)
    kept = last_checkpoint(open_objects(url).child(only_folder(url)).url)
    assert kept is not None
    assert kept.rounds == kept.booster.num_boosted_rounds() == CHECKPOINT_ROUNDS * 2
    again = train_boosting(fit, stop, PARAMS, checkpoints=url)
    assert again.resumed
    assert not trained.resumed
    assert len(again.history) == PARAMS.rounds
    assert again.history[: CHECKPOINT_ROUNDS * 2] == trained.history[: CHECKPOINT_ROUNDS * 2]
    assert abs(min(again.history) - min(trained.history)) < 0.05 * min(trained.history)
    assert open_objects(url).list() == []


def only_folder(url: str) -> str:
    (folder,) = {info.key.split("/")[0] for info in open_objects(url).list()}
    return folder


def test_a_damaged_checkpoint_is_passed_over(tmp_path, fit: Rows, stop: Rows) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS * 2 + 1)
    objects = open_objects(url)
    last = objects.list()[-1].key
    objects.put(last, objects.get(last)[:-1] + b"x")
    kept = last_checkpoint(objects.child(only_folder(url)).url)
    assert kept is not None
    assert kept.rounds == CHECKPOINT_ROUNDS


def test_a_checkpoint_of_other_rows_is_never_continued(tmp_path, fit: Rows, stop: Rows) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS + 1)
    other = Rows(fit.features, fit.target + np.float32(0.001))
    assert not train_boosting(other, stop, PARAMS, checkpoints=url).resumed


def test_a_finished_training_is_not_resumed(
    tmp_path, fit: Rows, stop: Rows, trained: Trained
) -> None:
    for _ in range(2):
        found = train_boosting(fit, stop, PARAMS, checkpoints=str(tmp_path))
        assert not found.resumed
        assert found.data == trained.data


def test_a_constant_target_is_nothing_to_learn(fit: Rows, stop: Rows) -> None:
    flat = Rows(fit.features, np.full(fit.target.size, 0.3, np.float32))
    with pytest.raises(UserError, match=r"the target is 0\.3 in all 4000 rows"):
        train_boosting(flat, stop, PARAMS)


def test_an_unknown_target_is_refused(fit: Rows) -> None:
    with pytest.raises(UserError, match="unknown values"):
        Rows(fit.features, np.full(fit.target.size, np.nan, np.float32))


def test_parameters_of_ours_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match="nthread are set by smcloud"):
        BoostingParams(trees={"nthread": 64})


class FakeClient:
    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def scheduler_info(self, n_workers: int) -> dict:
        return {"workers": {f"tcp://{i}": {"host": host} for i, host in enumerate(self.hosts)}}


def test_the_route_follows_hosts_and_memory(fit: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    here, apart = FakeClient("a", "a"), FakeClient("a", "b")
    assert not is_distributed("auto", None, fit)
    assert not is_distributed("auto", here, fit)
    assert is_distributed("auto", apart, fit)
    assert not is_distributed("local", apart, fit)
    assert is_distributed("dask", here, fit)
    monkeypatch.setattr("smcloud.models.boosting.TRAINING_BYTES", 10**12)
    assert is_distributed("auto", here, fit)
    with pytest.raises(UserError, match="needs a cluster"):
        is_distributed("dask", None, fit)
