"""A listener that remembers what it was told."""

from smcloud.core.listener import Silent


class Recorder(Silent):
    """Keeps notes, warnings and the names of stages."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.stages: list[str] = []

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.stages.append(stage)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
