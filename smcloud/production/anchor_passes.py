"""The order in which blocks are summed and slabs of days solved, until every cell has its mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from smcloud.core.objects import open_objects
from smcloud.models.anchoring import AnchorRules
from smcloud.production.anchor_pass import (
    Anchored,
    AnchorTask,
    CoarseField,
    VisitTask,
    anchor_slab,
    slabs_by_block,
    visit_block,
)
from smcloud.production.first_guess import SLAB_DAYS, FineBlock, Work, slabs_of
from smcloud.production.passes import Pass
from smcloud.production.runner import Task

T = TypeVar("T")


class Over(Protocol):
    """What runs tasks, on the cluster or here."""

    def __call__(self, tasks: list[Task[T]], stage: Pass, unit: str) -> list[T]:
        """Return what the tasks return, in their order."""
        ...


@dataclass(frozen=True)
class AnchorPasses:
    """The passes by which the nodes of one year are found.

    Attributes
    ----------
    year : int
    blocks : sequence of FineBlock
        All of the region.
    coarse : CoarseField
        What cells are anchored to.
    work : Work
        Where sums and nodes lie; slabs that are settled there are left alone.
    rules : AnchorRules
    over : Over
    """

    year: int
    blocks: Sequence[FineBlock]
    coarse: CoarseField
    work: Work
    rules: AnchorRules
    over: Over

    def settle(self) -> None:
        """Settle the nodes of every slab, visiting blocks again where values may be clamped."""
        n_slabs = len(slabs_of(len(self.coarse.schema.times(self.year)), SLAB_DAYS))
        settled = {info.key for info in open_objects(self.work.url).list("nodes/settled/")}
        waiting = [n for n in range(n_slabs) if self.work.settled_key(n) not in settled]
        if waiting:
            every = tuple(block.name for block in self.blocks)
            self._visit([Anchored(slab, every) for slab in waiting], 0)
        visited: Mapping[int, tuple[str, ...]] = dict.fromkeys(waiting, ())
        for visit in range(self.rules.rounds + 1):
            if not visited:
                return
            found = self._solved(visited, visit)
            again = [one for one in found if one.again]
            visited = {one.slab: one.again for one in again}
            self._visit(again, visit + 1)

    def _solved(self, visited: Mapping[int, tuple[str, ...]], visit: int) -> list[Anchored]:
        tasks = [
            Task(task.name, anchor_slab, (task,))
            for slab, blocks in visited.items()
            for task in [
                AnchorTask(
                    year=self.year,
                    slab=slab,
                    blocks=tuple(block.name for block in self.blocks),
                    visited=blocks,
                    visit=visit,
                    is_last=visit == self.rules.rounds,
                    coarse=self.coarse,
                    work=self.work,
                    rules=self.rules,
                )
            ]
        ]
        return self.over(tasks, "anchor", "slabs of days")

    def _visit(self, again: Sequence[Anchored], visit: int) -> None:
        wanted = slabs_by_block(again)
        tasks = [
            Task(task.name, visit_block, (task,))
            for block in self.blocks
            if block.name in wanted
            for task in [VisitTask(block, wanted[block.name], visit)]
        ]
        self.over(tasks, "visit" if visit else "sum", "blocks")
