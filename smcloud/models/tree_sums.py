"""Trees whose leaves are added up, kept as plain arrays: regressions and class probabilities.

They are the nodes of the trees in the order in which the library adds them up. Many points go
through `models.forest`, few ones (scores of a period) down the trees one level after another:
laying trees out for the evaluator costs more than that. Both give the library's own estimates bit
for bit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.models.families import Arrays, Floats32
from smcloud.models.forest import Forest
from smcloud.models.forest_layout import Layout, layout_of
from smcloud.models.forest_trees import LEAF, Ensemble, NoFitError, Tree

log = logging.getLogger(__name__)

FEW_POINTS = 4_096
"""Up to so many points, and as long as the trees are not laid out, they are walked."""
WALKED_VALUES = 2**18
"""Points times trees that are walked at a time."""
NODE_TYPES: Mapping[str, type] = {
    "left": np.int32,
    "right": np.int32,
    "feature": np.int16,
    "cut": np.float32,
    "unknown_left": np.bool_,
}
"""How the nodes of a tree are stored; leaf values keep the type of their sum."""
NODE_BYTES = 80
"""Of a node in memory, as a tree and once more as it is walked."""


class _Nodes(NamedTuple):
    """All nodes of all trees in one row: children by position, leaves their own children."""

    roots: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    cut: Floats32
    value: NDArray[Any]
    """(n_nodes,), or (n_nodes, n_outputs) of several outputs."""
    levels: int


@dataclass(frozen=True, eq=False)
class TreeSums:
    """Trees whose leaves are added up.

    Attributes
    ----------
    ensemble : Ensemble
    """

    ensemble: Ensemble

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of features (n_kept, n_points), bit for bit the library's.

        They are (n_points,), or (n_points, n_outputs) of several outputs.
        """
        if ready.shape[1] <= FEW_POINTS and "layout" not in self.__dict__:
            return self.walked(ready)
        if self.layout is None:
            return self.walked(ready)
        # The scratch of a forest is larger than its trees: it lives as long as one piece does.
        forest = Forest.from_layout(self.ensemble, self.layout)
        return forest.predict(np.ascontiguousarray(ready))

    @property
    def nbytes(self) -> int:
        """Return the bytes of the layout, or of the nodes."""
        if "layout" not in self.__dict__ or self.layout is None:
            return NODE_BYTES * sum(tree.left.size for tree in self.ensemble.trees)
        groups = sum(
            part.group.leaves.nbytes + part.group.slots.nbytes for part in self.layout.parts
        )
        return groups + self.layout.cuts.cuts.nbytes + self.layout.cuts.firsts.nbytes

    @cached_property
    def layout(self) -> Layout | None:
        """Return the trees as the evaluator reads them; None where they do not fit it."""
        try:
            return layout_of(self.ensemble)
        except NoFitError as misfit:
            log.warning("trees are walked, many times slower: %s", misfit)
            return None

    def walked(self, ready: Floats32) -> NDArray[Any]:
        """Return the same estimates, by going down all trees level after level."""
        nodes = self._nodes
        n_points = ready.shape[1]
        found = np.empty((n_points, *nodes.value.shape[1:]), self.ensemble.start.dtype)
        at_once = max(1, WALKED_VALUES // (nodes.roots.size * self.ensemble.n_outputs))
        for start in range(0, n_points, at_once):
            points = np.arange(start, min(start + at_once, n_points))
            at = np.repeat(nodes.roots[:, None], points.size, axis=1)
            for _ in range(nodes.levels):
                goes_left = ready[nodes.feature[at], points] < nodes.cut[at]
                at = np.where(goes_left, nodes.left[at], nodes.right[at])
            # Added tree after tree, as the libraries do.
            total = np.add.reduce(nodes.value[at], axis=0, initial=self.ensemble.start)
            found[points] = total / found.dtype.type(self.ensemble.divisor)
        return found

    @cached_property
    def _nodes(self) -> _Nodes:
        trees = self.ensemble.trees
        sizes = np.array([tree.left.size for tree in trees])
        roots = np.cumsum(sizes) - sizes
        first = np.repeat(roots, sizes)
        own = np.arange(first.size)
        left, right, feature, cut, value = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("left", "right", "feature", "cut", "value")
        )
        is_leaf = left == LEAF
        return _Nodes(
            roots,
            np.where(is_leaf, own, first + left),
            np.where(is_leaf, own, first + right),
            feature,
            cut,
            value[:, 0] if self.ensemble.n_outputs == 1 else value,
            max(tree.levels() for tree in trees),
        )

    def arrays(self) -> Arrays:
        """Return all nodes of all trees, tree after tree, and what the sum begins with."""
        trees = self.ensemble.trees
        found: Arrays = {
            name: np.concatenate([getattr(tree, name) for tree in trees]).astype(kind)
            for name, kind in NODE_TYPES.items()
        }
        found["value"] = np.concatenate([tree.value for tree in trees])
        found["sizes"] = np.array([tree.left.size for tree in trees], np.int32)
        found["start"] = np.asarray(self.ensemble.start)
        found["divisor"] = np.array(self.ensemble.divisor)
        found["n_features"] = np.array(self.ensemble.n_features)
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> TreeSums:
        """Return what `arrays` gave."""
        ends = np.cumsum(arrays["sizes"])
        pieces = [slice(end - size, end) for end, size in zip(ends, arrays["sizes"], strict=True)]
        trees = tuple(_tree_of(arrays, piece) for piece in pieces)
        start = arrays["start"].dtype.type(arrays["start"])
        n_features, divisor = int(arrays["n_features"]), int(arrays["divisor"])
        n_outputs = int(arrays["value"].shape[1])
        return cls(Ensemble(trees, n_features, n_outputs, start, divisor))


def _tree_of(arrays: Mapping[str, NDArray[Any]], piece: slice) -> Tree:
    return Tree(
        arrays["left"][piece].astype(np.int64),
        arrays["right"][piece].astype(np.int64),
        arrays["feature"][piece].astype(np.int64),
        arrays["cut"][piece],
        arrays["unknown_left"][piece],
        arrays["value"][piece],
    )
