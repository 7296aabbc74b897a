"""One pure function over all blocks of a product year, on the cluster or here."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from distributed import Client

from smcloud.core.listener import Listener
from smcloud.grids.grid import Window
from smcloud.production.cluster import worker_threads
from smcloud.production.runner import Task, run_tasks
from smcloud.production.store_year import StoreYear

T = TypeVar("T")


def over_blocks(
    stage: str,
    year: StoreYear,
    function: Callable[..., T],
    arguments: Callable[[Window], tuple[object, ...]],
    client: Client | None,
    listener: Listener,
) -> list[T]:
    """Return `function(*arguments(block))` of every block, in the order of the blocks.

    Arguments are small (URLs, keys, windows); results are sums or pictures of cells, small too.
    """
    return over_windows(stage, year, year.blocks, function, arguments, client, listener)


def over_windows(
    stage: str,
    year: StoreYear,
    windows: Sequence[Window],
    function: Callable[..., T],
    arguments: Callable[[Window], tuple[object, ...]],
    client: Client | None,
    listener: Listener,
    unit: str = "blocks",
) -> list[T]:
    """Return `function(*arguments(window))` of every window, in their order, as `over_blocks`."""
    tasks = [
        Task(f"{stage}-{year.schema.name}-{year.year}-b{number:05d}", function, arguments(window))
        for number, window in enumerate(windows)
    ]
    return run_listed(tasks, f"{stage} {year.year}", unit, client, listener)


def run_listed(
    tasks: Sequence[Task[T]], stage: str, unit: str, client: Client | None, listener: Listener
) -> list[T]:
    """Return what tasks of one stage return, in their order."""
    found: dict[str, T] = {}

    def keep(task: Task[T], result: T) -> None:
        found[task.key] = result
        listener.advance()

    if not tasks:
        return []
    listener.begin(stage, len(tasks), unit)
    try:
        run_tasks(
            client,
            tasks,
            window=2 * worker_threads(client) if client else 1,
            on_done=keep,
            listener=listener,
        )
    finally:
        listener.end()
    return [found[task.key] for task in tasks]
