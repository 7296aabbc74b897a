"""What any training on a table of coarse cells needs to know beside the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, ClassVar

from smcloud.core.layout import Layout, join
from smcloud.core.objects import Objects, open_objects
from smcloud.version import __version__


@dataclass(frozen=True, kw_only=True)
class CoarseModelRequest:
    """A model to make of coarse cells.

    Attributes
    ----------
    root : str
        Product root below which the model is written (`Layout`).
    name : str
    features : tuple of str
        Columns of the table, in order.
    units : tuple of str
        Of the features; empty strings where nobody said.
    target, target_units : str
    versions : mapping
        Versions of product and features, kept in the card.
    """

    root: str
    name: str
    features: tuple[str, ...]
    units: tuple[str, ...] = ()
    target: str = "soil_moisture"
    target_units: str = "m3 m-3"
    versions: Mapping[str, str] = field(default_factory=dict)

    table: ClassVar[str]
    """What tells the rows that workers read from those of other models of this name."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    """Distributions whose versions the model depends on."""

    @property
    def samples_url(self) -> str:
        """Return the prefix of the rows that workers read."""
        return Layout(self.root).table(f"{self.name}-{self.table}")

    @property
    def all_versions(self) -> dict[str, str]:
        """Return the versions that the model depends on."""
        libraries = {name: version(name) for name in self.libraries}
        return {**self.versions, **libraries, "smcloud": __version__}

    @property
    def said(self) -> dict[str, Any]:
        """Return what the card of such a model says of what was asked."""
        return {
            "name": self.name,
            "target": self.target,
            "target_units": self.target_units,
            "columns": self.features,
            "units": self.units or ("",) * len(self.features),
            "versions": self.all_versions,
        }

    @property
    def models(self) -> Objects:
        """Return the prefix that holds all models of the root."""
        return open_objects(join(self.root, "models"))
