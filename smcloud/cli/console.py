"""What people see: progress bars, notes, tables, and one line for an error."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dask.utils import parse_bytes
from distributed import Client
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from smcloud.core.config import ClusterConfig
from smcloud.core.listener import counted
from smcloud.production.cluster import ClusterRequest, connect

PLAIN_WIDTH = 120
"""Columns of tables in a log, where there is no terminal to ask."""

_width = None if sys.stdout.isatty() else PLAIN_WIDTH
console = Console(highlight=False, soft_wrap=True, width=_width)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class RichListener:
    """Shows each stage as a bar on a terminal and as a few plain lines elsewhere."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage, self._unit = "", ""
        self._done, self._total, self._shown = 0, 0, 0.0
        self._started = time.monotonic()

    def begin(self, stage: str, total: int, unit: str) -> None:
        """Open a bar of `total` steps."""
        self.end()
        self._stage, self._unit = stage, unit
        self._done, self._total, self._shown = 0, total, 0.0
        self._started = time.monotonic()
        if not console.is_terminal:
            console.print(f"{stage}: {counted(total, unit)}")
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._progress.start()
        self._task = self._progress.add_task(stage, total=total, figures=unit)

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        """Move the bar; without a terminal, print a line at each quarter."""
        self._done += steps
        text = "  ".join(f"{name.replace('_', ' ')} {_short(v)}" for name, v in figures.items())
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=steps, figures=text or self._unit)
        elif self._total and self._done / self._total >= self._shown + 0.25:
            self._shown = self._done / self._total
            left = (time.monotonic() - self._started) * (self._total - self._done) / self._done
            ahead = f"  about {left:.0f} s left" if left >= 1 else ""
            console.print(
                f"  {self._stage} {self._done}/{self._total} {self._unit}  {text}{ahead}".rstrip()
            )

    def note(self, text: str) -> None:
        """Print a fact."""
        console.print(f"  {text}", markup=False)

    def warn(self, text: str) -> None:
        """Print a warning."""
        console.print("[yellow]warning[/yellow] ", end="")
        console.print(text, markup=False)

    def end(self) -> None:
        """Close the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _short(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the first column is left-aligned, the others right."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)


def fail(message: str) -> None:
    """Print one error line on standard error."""
    errors.print("[red]error[/red] ", end="")
    errors.print(" ".join(message.split()), markup=False)


@contextmanager
def cluster_from(config: ClusterConfig, listener: RichListener) -> Iterator[Client]:
    """Give a client of the configured cluster and say where its dashboard is."""
    request = ClusterRequest(
        workers=config.workers or os.cpu_count() or 1,
        threads=config.threads,
        worker_bytes=parse_bytes(config.memory),
        scheduler=config.scheduler,
        dashboard=config.dashboard,
    )
    with connect(request) as client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        listener.note(
            f"cluster of {counted(workers, 'workers')}, dashboard {client.dashboard_link}"
        )
        yield client
