"""Models that are read back only when sound, and say what XGBoost says."""

import json

import numpy as np
import pytest
import xgboost

from smcloud.core.errors import ModelError, NotFoundError
from smcloud.core.objects import Objects, open_objects
from smcloud.models.base import CARD, ModelCard, SpreadNote, content_hash, parsed_card, save_model
from smcloud.models.boosting import load_model
from smcloud.models.checkpoints import Trained
from tests.models.synthetic import COLUMNS, PARAMS, world


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
    rows = np.column_stack(world(40_000, 5).columns)
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
    card = parsed_card(ModelCard, text, "card")
    assert np.isnan(card.scores["station"]["median_R"])
    assert card.to_json() == text
    assert b"NaN" not in text


def test_a_card_of_an_earlier_release_loads_without_a_spread(models, trained):
    body = json.loads(models.get(f"test-sm/{CARD}"))
    for name in ("spread", "area"):
        assert body.pop(name) is None
    models.put(f"test-sm/{CARD}", json.dumps(body).encode())
    model = load_model(models, "test-sm")
    assert (model.spread, model.area) == (None, b"")
    assert model.card.whole_sha256 == model.card.sha256


def test_the_spread_is_stored_beside_its_model_and_checked(models, trained):
    note = SpreadNote(
        sha256=content_hash(trained.data),
        floor=0.01,
        factors={"0.68": 1.5},
        stations=12,
        rounds=trained.rounds,
    )
    card = card_of(trained).model_copy(update={"spread": note})
    with pytest.raises(ModelError, match="belongs to other bytes"):
        save_model(models, "test-sm", trained.data, card)
    save_model(models, "test-sm", trained.data, card, spread=trained.data)
    model = load_model(models, "test-sm")
    assert model.spread is not None
    assert model.spread.factor(0.68) == 1.5
    for level in (0.95, 0.5):
        with pytest.raises(ModelError, match=f"no factor for the level {level}"):
            model.spread.factor(level)
    assert model.card.whole_sha256 == card.whole_sha256 != card.sha256
    models.put(f"test-sm/{note.sha256}.spread.ubj", trained.data[:-1] + b"?")
    with pytest.raises(ModelError, match=r"spread\.ubj is damaged"):
        load_model(models, "test-sm")
