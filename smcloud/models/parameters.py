"""How trees are grown: the parameters that a user may state, and those that smcloud sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from smcloud.core.errors import ConfigError
from smcloud.models.base import Parameter

DEFAULT_TREES: Mapping[str, Parameter] = {
    "objective": "reg:squarederror",
    "max_depth": 8,
    "eta": 0.1,
    "min_child_weight": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "lambda": 2.0,
    "max_bin": 256,
}
"""Defaults of our own, inside the search space of open soil moisture models; no source states
those of GLASS SM."""
Device = Literal["cpu", "cuda"]
_FIXED: Mapping[str, Parameter] = {
    "tree_method": "hist",
    "eval_metric": "rmse",
}


def known_device(name: str) -> Device:
    """Return the device of this name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    for device in get_args(Device):
        if name == device:
            return cast(Device, device)
    raise ConfigError(f"device is {name!r}: expected {' or '.join(get_args(Device))}")


@dataclass(frozen=True)
class BoostingParams:
    """How trees are grown.

    Attributes
    ----------
    rounds : int
        Most trees.
    early_stopping : int
        Rounds without a better score on the stop set after which growing ends.
    seed : int
        Draws rows and columns of each tree.
    trees : mapping
        XGBoost parameters that replace those of `DEFAULT_TREES`.
    threads : int
        Threads of a local training; 0 takes every core that has rows enough.
    device : "cpu" or "cuda"
        Where the trees grow. A GPU sums histograms in another order: its trees differ slightly.
    """

    rounds: int = 300
    early_stopping: int = 30
    seed: int = 0
    trees: Mapping[str, Parameter] = field(default_factory=dict)
    threads: int = 0
    device: Device = "cpu"

    def __post_init__(self) -> None:
        own = sorted({*_FIXED, "seed", "nthread", "n_jobs", "device"} & set(self.trees))
        if own:
            raise ConfigError(f"the parameters {', '.join(own)} are set by smcloud: leave them out")
        known_device(self.device)
        if self.rounds < 1 or self.early_stopping < 1:
            raise ConfigError(
                "rounds and early_stopping must be 1 or more, found "
                f"{self.rounds} and {self.early_stopping}"
            )

    @property
    def max_bin(self) -> int:
        """Return the bins per feature, for the quantised matrix and the trees alike."""
        return int({**DEFAULT_TREES, **self.trees}["max_bin"])

    def stated(self) -> dict[str, Parameter]:
        """Return everything that shapes the model, as the card keeps it."""
        return {
            **_FIXED,
            **DEFAULT_TREES,
            **self.trees,
            "rounds": self.rounds,
            "early_stopping": self.early_stopping,
            "device": self.device,
        }

    def for_xgboost(self, grown: int) -> dict[str, Parameter]:
        """Return XGBoost's parameters for a training that has `grown` trees already.

        XGBoost numbers the rounds of a continued training from zero again: with an unchanged
        seed the rows and columns of the first trees would be drawn a second time.
        """
        stated = {**DEFAULT_TREES, **self.trees, **_FIXED}
        return {**stated, "seed": self.seed + grown, "device": self.device}
