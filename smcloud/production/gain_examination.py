"""Finding out what the maps of a year gain over their coarse input, and how they answer to rain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener, counted
from smcloud.features.spec import Quality
from smcloud.production.block_map import over_blocks
from smcloud.production.findings import GainFinding
from smcloud.production.station_pairs import COARSE_INPUT
from smcloud.production.station_rain import station_rain
from smcloud.production.store_year import StoreYear
from smcloud.products.downscaled import COARSE_FILLED, LST_FILLED, NO_COARSE_VALUE
from smcloud.validation.collocation import Layer, station_series
from smcloud.validation.gain import Gain, GainRequest, gain_of_block, total
from smcloud.validation.metrics import Interval, draw_weights, overall_interval
from smcloud.validation.pairs import PairStats
from smcloud.validation.precipitation import (
    RainRequest,
    RainResponse,
    added,
    response_of_block,
    response_to_rain,
)

STATES: tuple[tuple[str, int], ...] = (
    ("no coarse value", NO_COARSE_VALUE),
    ("coarse value filled between swaths", COARSE_FILLED),
    ("surface temperature filled under cloud", LST_FILLED),
    ("surface temperature unknown", int(Quality.LST_UNKNOWN)),
    ("clear", 0),
)
"""States of a pixel-day and the bits that put it there; the first one that is raised counts."""
PAIRED = ("product", "coarse", "within_product", "within_coarse")
"""Sums of a `Gain` that are scored."""


@dataclass(frozen=True)
class GainExamination:
    """What is read: the maps, their coarse input, and truth and rain where they are known."""

    config: RunConfig
    year: StoreYear
    coarse: Layer
    truth: Layer | None
    rain: Layer | None

    def examine(self, client: Client | None, listener: Listener) -> GainFinding:
        """Return the findings; blocks run on the cluster."""
        asked = GainRequest(self.year.layer, self.truth, self.coarse, "quality_flag", STATES)
        parts = over_blocks(
            "gain",
            self.year,
            gain_of_block,
            lambda block: (asked, block, self.year.part_of(block)),
            client,
            listener,
        )
        whole = total(parts)
        scores = _scores(parts, self.config.train.seed) if whole.has_truth else {}
        names = tuple(name for name, _ in STATES)
        return GainFinding(whole, names, scores, self._rain(client, listener))

    def _rain(self, client: Client | None, listener: Listener) -> Mapping[str, RainResponse]:
        """Return the answers to rain by name, that of the maps first; only those that are known."""
        found = self._at_pixels(client, listener) | self._at_gauges(listener)
        known = {name: one for name, one in found.items() if np.isfinite(one.correlations).any()}
        return known if any(name.startswith("product") for name in known) else {}

    def _at_pixels(self, client: Client | None, listener: Listener) -> dict[str, RainResponse]:
        if self.rain is None:
            return {}
        fine = {"product": self.year.layer}
        if self.truth is not None:
            fine["truth"] = self.truth
        asked = RainRequest(self.rain, fine, {COARSE_INPUT: self.coarse})
        parts = over_blocks(
            "rain", self.year, response_of_block, lambda block: (asked, block), client, listener
        )
        return added(parts)

    def _at_gauges(self, listener: Listener) -> dict[str, RainResponse]:
        gauges = station_rain(self.config, self.year, listener)
        if gauges is None:
            return {}
        moisture = station_series(self.year.layer, gauges.rows, gauges.cols)
        name = f"product at {counted(gauges.rows.size, 'rain gauges')}"
        return {name: response_to_rain(moisture, gauges.rain)}


def _scores(parts: Sequence[Gain], seed: int) -> dict[str, Mapping[str, Interval]]:
    weights = draw_weights(np.arange(len(parts)), seed=seed)
    return {
        name: overall_interval(
            PairStats.stacked([getattr(part, name).total() for part in parts]), weights
        )
        for name in PAIRED
    }
