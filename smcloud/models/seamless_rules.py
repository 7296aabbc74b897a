"""Sizes of the gap-filling network, how it is trained, and the segments of time it fills.

Nothing here needs torch: plans and run files name these without the extra `deep`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from smcloud.core.errors import UserError

Device = Literal["cpu", "cuda"]
NETWORK = 3
"""Raised when equal patches and rules give another network."""
SPREADS = (6.0, 2.5, 1.0)
"""Scales of the first guess's corrections in space, pixels, from wide to narrow: those of storms,
and of the cells beside a gap."""


def _require_positive(what: str, **values: float) -> None:
    """Raise `UserError`, naming the first value that is not positive."""
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"{name} of {what} must be positive, found {value}")


@dataclass(frozen=True)
class SeamlessShape:
    """The size of the network; the defaults are those of SGD-SM 1.0 as published."""

    channels: int = 32
    """Features of each branch; the joined layers have twice as many."""
    mid_layers: int = 8
    """Times that the middle layer, whose weights are shared, is applied."""
    days: int = 4
    """Days to either side of the day that is filled."""
    lstm_hidden: int = 16
    """Memory of each of the two recurrent cells (their size is not published)."""

    def __post_init__(self) -> None:
        _require_positive("a network", **asdict(self))

    @property
    def window(self) -> int:
        """Return the days that it sees at once."""
        return 2 * self.days + 1

    @property
    def reach(self) -> int:
        """Return how far a pixel's estimate looks, in pixels: one for each layer of 3 x 3."""
        return self.mid_layers + 2


SMALL = SeamlessShape(channels=8, mid_layers=4, days=4, lstm_hidden=8)
"""A network that trains in minutes on two cores."""


@dataclass(frozen=True)
class TrainingRules:
    """How long and on what a network is trained."""

    epochs: int = 40
    """At most; the rate of learning falls along half a cosine to zero over them."""
    steps: int = 30
    """Batches of one epoch. An epoch reads one shard of patches."""
    batch: int = 16
    """Patches of one batch (128 in SGD-SM 1.0)."""
    learning_rate: float = 3e-3
    patience: int = 10
    """Epochs without a better score on the year held out after which training ends."""
    seed: int = 0
    threads: int = 1
    """Threads of the CPU. Equal numbers give equal bits; others sum in another order."""
    device: Device = "cpu"
    mixed_precision: bool = True
    """Convolutions in bfloat16 on a GPU. A CPU always computes in float32."""

    def __post_init__(self) -> None:
        numbers = ("epochs", "steps", "batch", "learning_rate", "patience", "threads")
        _require_positive("training", **{name: getattr(self, name) for name in numbers})
        if self.device not in ("cpu", "cuda"):
            raise UserError(f"a network trains on 'cpu' or 'cuda', found {self.device!r}")


@dataclass(frozen=True)
class Segment:
    """Days that are filled in one go, and those of them that are kept."""

    read: slice
    """Days of the whole record: with spin-up before and the days that look ahead behind."""
    keep: slice
    """Days of `read` that are kept."""


def segments(n_days: int, length: int, spin_up: int, ahead: int) -> list[Segment]:
    """Return segments whose kept days are all days once, in order.

    Parameters
    ----------
    n_days
        Days of the record.
    length
        Days that a segment keeps; the last one keeps the rest.
    spin_up
        Days filled before the first that is kept: the recursion has forgotten its start by then.
    ahead
        Days read behind the last that is kept, `SeamlessShape.days`.

    Raises
    ------
    UserError
        If `length` is not positive, or the others are negative.
    """
    if length < 1 or spin_up < 0 or ahead < 0:
        raise UserError(
            "a segment keeps at least one day and has no negative spin-up, found "
            f"{length} days, spin-up {spin_up}, ahead {ahead}"
        )
    found = []
    for first in range(0, n_days, length):
        last = min(first + length, n_days)
        start = max(first - spin_up, 0)
        read = slice(start, min(last + ahead, n_days))
        found.append(Segment(read, slice(first - start, last - start)))
    return found
