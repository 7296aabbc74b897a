"""How long work tells people where it stands, without printing anything itself."""

from typing import Protocol


class Listener(Protocol):
    """Receives progress; the CLI shows it, tests record it, libraries pass it on."""

    def begin(self, stage: str, total: int, unit: str) -> None:
        """Start a stage of `total` steps counted in `unit` (tasks, blocks, rounds)."""

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        """Count finished steps; `figures` (rows per second, loss) are shown beside the bar."""

    def note(self, text: str) -> None:
        """Tell one fact worth a line."""

    def warn(self, text: str) -> None:
        """Tell something that a person should look at, although the run goes on."""

    def end(self) -> None:
        """Finish the stage that `begin` started."""


def counted(count: int, unit: str) -> str:
    """Return a count with its unit, which is given in the plural: ``1 task``, ``2 tasks``."""
    noun, of, whole = unit.partition(" of ")
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun}{of}{whole}"


class Silent:
    """A listener that keeps everything to itself."""

    def begin(self, stage: str, total: int, unit: str) -> None:
        """Ignore the start."""

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        """Ignore the step."""

    def note(self, text: str) -> None:
        """Ignore the fact."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""

    def end(self) -> None:
        """Ignore the end."""
