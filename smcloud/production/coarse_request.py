"""What any training on a table of coarse cells needs to know beside the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smcloud.core.layout import join
from smcloud.core.objects import Objects, open_objects


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

    @property
    def models(self) -> Objects:
        """Return the prefix that holds all models of the root."""
        return open_objects(join(self.root, "models"))
