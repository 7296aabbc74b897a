"""Models that learned from coarse cells, by the kind that their card names."""

import json
from functools import lru_cache

import numpy as np

from smcloud.core.errors import ModelError
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.schema import Days
from smcloud.models.base import CARD, card_bytes
from smcloud.models.downscaler import Downscaler
from smcloud.models.gwr_files import YEARS_HELD, LocalCard, load_local
from smcloud.models.periods import (
    LOADED_BYTES,
    PeriodsCard,
    load_periods_card,
    open_period_models,
)

DownscalerCard = PeriodsCard | LocalCard
REASONS_TOLD = 2


def load_downscaler_card(models: Objects, name: str) -> DownscalerCard:
    """Return the card of a stored model, of whichever kind it is.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the card cannot be read, or is that of a model of stations.
    """
    data, where = card_bytes(models, name)
    try:
        kind = json.loads(data).get("kind", "")
    except (ValueError, AttributeError) as err:
        raise ModelError(f"{where} is not a model card: train the model again") from err
    if kind == "periods":
        return load_periods_card(models, name)
    if kind == "local":
        return load_local(models, name).card
    raise ModelError(
        f"{where} is the card of a model of stations: expected one that learned from coarse cells; "
        "give the product a model name of its own, or train it again"
    )


def held_bytes(models: Objects, card: DownscalerCard) -> int:
    """Return the most bytes that a process holds of a model: some periods, or two years."""
    if isinstance(card, PeriodsCard):
        return LOADED_BYTES
    sizes = sorted(info.size for info in models.list(f"{card.name}/") if info.key != CARD)
    return sum(sizes[-YEARS_HELD:])


@lru_cache(maxsize=2)
def open_downscaler(url: str, name: str, whole_sha256: str) -> Downscaler:
    """Return the model of this hash below `url`; a process keeps the last ones.

    Raises
    ------
    NotFoundError, ModelError
        As `load_downscaler_card`, and if the model is another by now.
    """
    models = open_objects(url)
    card = load_downscaler_card(models, name)
    if card.whole_sha256 != whole_sha256:
        raise ModelError(
            f"model {name!r} was replaced while the run was going on: expected sha256 "
            f"{whole_sha256[:12]}, found {card.whole_sha256[:12]}; run the same command again"
        )
    if isinstance(card, PeriodsCard):
        return open_period_models(url, name, whole_sha256)
    return load_local(models, name)


def days_without_model(model: Downscaler, days: Days) -> dict[str, int]:
    """Return, for each run of consecutive days without a model, when and why, and how many days.

    Such a run reads ``2019-03-01 to 2019-03-08: no model (too few samples: ...)``.
    """
    without = np.array([not model.is_modelled(day) for day in days], np.bool_)
    edges = np.flatnonzero(np.diff(without, prepend=False, append=False))
    found = {}
    for start, stop in edges.reshape(-1, 2):
        reasons = list(dict.fromkeys(model.why_not(day) for day in days[start:stop]))
        told = "; ".join(reasons[:REASONS_TOLD]) + "; ..." * (len(reasons) > REASONS_TOLD)
        dates = f"{days[start]} to {days[stop - 1]}" if stop - start > 1 else f"{days[start]}"
        found[f"{dates}: no model ({told})"] = int(stop - start)
    return found
