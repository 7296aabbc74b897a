"""A process of its own: predicts as numba's environment variables say, and tells what it used.

Called with a folder that holds ``columns.npy`` and ``model.ubj``; it writes ``found.npy`` and
``told.json`` there.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import xgboost

from smcloud.models import forest_kernel, forest_layout
from smcloud.models.forest import Forest

GROUP_BYTES = 30000
"""So little that the trees of these tests are of several groups."""


def main(folder: Path) -> None:
    forest_layout.GROUP_BYTES = GROUP_BYTES
    forest = Forest.from_xgboost(xgboost.Booster(model_file=folder / "model.ubj"))
    np.save(folder / "found.npy", forest.predict(np.load(folder / "columns.npy"), threads=2))
    told = {"widest": widest(), "groups": len(forest._layout.parts), **cache_use()}
    (folder / "told.json").write_text(json.dumps(told))


def widest() -> str:
    """Return the widest vector registers of the trees; empty if they came from the cache."""
    used: set[str] = set()
    if forest_kernel.add_group.stats.cache_hits:
        return ""
    for code in forest_kernel.add_group.inspect_asm().values():
        used |= set(re.findall(r"%([xyz]mm)\d", code))
    return max(used, default="")


def cache_use() -> dict[str, int]:
    """Return how many compiled functions came from the cache, and how many did not."""
    stats = [one.stats for one in vars(forest_kernel).values() if hasattr(one, "inspect_asm")]
    return {
        "hits": sum(sum(one.cache_hits.values()) for one in stats),
        "misses": sum(sum(one.cache_misses.values()) for one in stats),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
