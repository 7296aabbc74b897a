"""Finding out what the maps of a year gain over their coarse input, and how they answer to rain."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener, Silent, counted
from smcloud.features.spec import Quality
from smcloud.grids.regrid import nearest
from smcloud.models.coarse_moisture import SourceFlag
from smcloud.production.block_map import over_blocks
from smcloud.production.findings import GainFinding
from smcloud.production.smooth_correction import smooth_correction
from smcloud.production.station_pairs import COARSE_INPUT, stations_of
from smcloud.production.station_rain import station_rain
from smcloud.production.store_year import StoreYear
from smcloud.products.base import Product
from smcloud.products.downscaled import COARSE_FILLED, LST_FILLED, NO_COARSE_VALUE
from smcloud.validation.collocation import CoarseReader, Layer, coarse_series, station_series
from smcloud.validation.gain import GainRequest, PixelState, gain_of_block, states_of, total
from smcloud.validation.gain_squares import scored
from smcloud.validation.precipitation import (
    RainRequest,
    RainResponse,
    added,
    response_of_block,
    response_to_rain,
)
from smcloud.validation.state_scores import StationState, by_state

STATES = (
    PixelState("no coarse value", NO_COARSE_VALUE),
    PixelState("coarse value of the bridging sensor", origin=int(SourceFlag.BRIDGE_SENSOR)),
    PixelState("coarse value filled between swaths", COARSE_FILLED),
    PixelState("surface temperature filled under cloud", LST_FILLED),
    PixelState("surface temperature unknown", int(Quality.LST_UNKNOWN)),
    PixelState("clear"),
)
"""States of a pixel-day and what puts it there; the first one that applies counts."""
FLAG = "quality_flag"
MAPS = "product"
AT_PIXELS = "ERA5-Land, at every tenth pixel"
"""Whose rain it is, where a cube of the reanalysis holds it."""


@dataclass(frozen=True)
class GainExamination:
    """What is read: the maps, their coarse input, and truth and rain where they are known.

    `origin` is the flag of the coarse cube, None where it keeps none.
    """

    config: RunConfig
    product: Product
    year: StoreYear
    coarse: Layer
    origin: Layer | None
    truth: Layer | None
    rain: Layer | None

    def examine(self, client: Client | None, listener: Listener) -> GainFinding:
        """Return the findings; blocks run on the cluster."""
        smooth = None
        if self.truth is not None:
            smooth = smooth_correction(self.config, self.year, self.coarse, client, listener)
        asked = GainRequest(
            self.year.layer, self.truth, self.coarse, FLAG, STATES, self.origin, smooth
        )
        parts = over_blocks(
            "gain",
            self.year,
            gain_of_block,
            lambda block: (asked, block, self.year.part_of(block)),
            client,
            listener,
        )
        whole, seed = total(parts), self.config.train.seed
        has_truth = whole.has_truth
        return GainFinding(
            whole,
            tuple(state.name for state in STATES),
            scored(whole.squares, seed=seed) if has_truth else None,
            scored(whole.squares_within, seed=seed) if has_truth else None,
            self._at_stations(),
            self._rain(client, listener),
        )

    def _at_stations(self) -> tuple[StationState, ...]:
        """Return the scores of the maps by state at the stations inside; none without any."""
        stations = stations_of(self.config, self.product, Silent())
        if stations is None:
            return ()
        stations = stations.only(self.year.holds(*stations.pixels))
        if stations.sites.empty:
            return ()
        rows, cols = stations.pixels
        flags = station_series(replace(self.year.layer, variable=FLAG), rows, cols)
        origin = None
        if self.origin is not None:
            at_cell = nearest(self.origin.schema.on, *stations.lonlat)
            origin = CoarseReader(self.origin, at_cell).read(slice(0, len(flags)))
        estimate = station_series(self.year.layer, rows, cols)
        measured = stations.measured(self.year.layer.open().times)
        state = states_of(STATES, np.nan_to_num(flags).astype(np.int64), origin)
        return by_state(estimate, measured, state, len(STATES))

    def _rain(
        self, client: Client | None, listener: Listener
    ) -> dict[str, Mapping[str, RainResponse]]:
        """Return the answers to each rain by name, that of the maps first; known ones only."""
        found: dict[str, Mapping[str, RainResponse]] = {}
        for whose, answers in (
            (AT_PIXELS, self._at_pixels(client, listener)),
            self._at_gauges(),
        ):
            known = {n: one for n, one in answers.items() if np.isfinite(one.correlations).any()}
            if MAPS in known:
                found[whose] = known
        return found

    @property
    def _fine(self) -> dict[str, Layer]:
        """Return soil moisture on the grid of the maps, by name."""
        return {MAPS: self.year.layer} | ({} if self.truth is None else {"truth": self.truth})

    def _at_pixels(self, client: Client | None, listener: Listener) -> dict[str, RainResponse]:
        if self.rain is None:
            return {}
        asked = RainRequest(self.rain, self._fine, {COARSE_INPUT: self.coarse})
        parts = over_blocks(
            "rain", self.year, response_of_block, lambda block: (asked, block), client, listener
        )
        return added(parts)

    def _at_gauges(self) -> tuple[str, dict[str, RainResponse]]:
        """Return whose rain it is, and the answers to it at their pixels."""
        gauges = station_rain(self.config, self.year)
        if gauges is None:
            return "", {}
        moisture = {
            name: station_series(layer, gauges.rows, gauges.cols)
            for name, layer in self._fine.items()
        }
        moisture[COARSE_INPUT] = coarse_series(self.coarse, gauges.lon, gauges.lat)
        return counted(gauges.rows.size, "rain gauges"), {
            name: response_to_rain(values, gauges.rain) for name, values in moisture.items()
        }
