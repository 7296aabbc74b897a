"""Random sets of given shares, as published work draws them: a reference, never a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smcloud.core.errors import ConfigError, UserError
from smcloud.validation.splits import Rows, Samples

PUBLISHED_SHARES = (0.70, 0.15, 0.15)
"""To fit, to validate and to test: the split of the data set on frozen ground (TPDC, 2025)."""


def random_shares(
    samples: Samples, shares: Sequence[float] = PUBLISHED_SHARES, *, seed: int = 0
) -> tuple[Rows, ...]:
    """Return row numbers of each set, ascending; rows of one cell and day stay together.

    Neighbouring cells and days lie on both sides, so a model that merely remembers them scores
    well. Equal seeds give equal sets whatever the order of the rows.

    Raises
    ------
    ConfigError
        If the shares are not above 0 with a sum of 1.
    UserError
        If a set would be empty.
    """
    if min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-9:
        text = ", ".join(f"{share:g}" for share in shares)
        raise ConfigError(f"shares of a random split are {text}: expected above 0, with the sum 1")
    pair_of_row = samples.pixel_days
    n_pairs = int(pair_of_row.max(initial=-1)) + 1
    drawn = np.random.default_rng([seed, 6]).permutation(n_pairs)
    ends = np.rint(np.cumsum(shares) * n_pairs)
    part = np.searchsorted(ends, drawn, side="right")[pair_of_row]
    sets = tuple(np.flatnonzero(part == number) for number in range(len(shares)))
    if not all(rows.size for rows in sets):
        sizes = ", ".join(str(rows.size) for rows in sets)
        raise UserError(f"a random split leaves a set empty: {sizes} rows; take more cells or days")
    return sets
