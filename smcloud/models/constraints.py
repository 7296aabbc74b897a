"""What trees may not do, said by feature name: monotone estimates, features kept apart."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smcloud.core.errors import ConfigError
from smcloud.models.base import Parameter
from smcloud.models.parameters import BoostingParams

MONOTONE, INTERACTIONS = "monotone_constraints", "interaction_constraints"
"""XGBoost's names of the rules, which it states by column number."""


@dataclass(frozen=True)
class Constraints:
    """Rules for the trees.

    Attributes
    ----------
    monotone : mapping
        Feature to 1 (the estimate never falls as it rises), -1 (never rises) or 0 (free).
    interactions : tuple of tuples of str
        Features that may stand on one branch together; a feature in no group stands there alone.
        Empty: every feature with every other.
    """

    monotone: Mapping[str, int] = field(default_factory=dict)
    interactions: tuple[tuple[str, ...], ...] = ()

    def applied(self, params: BoostingParams, features: Sequence[str]) -> BoostingParams:
        """Return the parameters with these rules for columns of these names, in this order.

        Raises
        ------
        ConfigError
            Naming a feature that the model does not have, or a rule stated by column number.
        """
        by_number = sorted({MONOTONE, INTERACTIONS} & set(params.trees))
        if by_number:
            raise ConfigError(
                f"{', '.join(by_number)} goes by column number: say it by feature name, in "
                "train.monotone or train.interactions"
            )
        self._require_known(features)
        return self.among(params, features)

    def among(self, params: BoostingParams, features: Sequence[str]) -> BoostingParams:
        """Return the parameters for a model of these features; rules for others are left out."""
        stated: dict[str, Parameter] = {}
        signs = [self.monotone.get(name, 0) for name in features]
        if any(signs):
            stated[MONOTONE] = f"({','.join(map(str, signs))})"
        if self.interactions:
            number = {name: index for index, name in enumerate(features)}
            groups = [[number[n] for n in group if n in number] for group in self.interactions]
            stated[INTERACTIONS] = str([group for group in groups if group])
        return replace(params, trees={**self._free(params), **stated})

    @staticmethod
    def _free(params: BoostingParams) -> dict[str, Parameter]:
        """Return the parameters without rules, which were for other columns."""
        rules = (MONOTONE, INTERACTIONS)
        return {name: value for name, value in params.trees.items() if name not in rules}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; empty without any rule."""
        found: dict[str, Any] = {}
        if self.monotone:
            found["monotone"] = dict(sorted(self.monotone.items()))
        if self.interactions:
            found["interactions"] = [list(group) for group in self.interactions]
        return found

    def _require_known(self, features: Sequence[str]) -> None:
        named = [("monotone", name) for name in self.monotone]
        named += [("interactions", name) for group in self.interactions for name in group]
        for key, name in named:
            if name not in features:
                near = difflib.get_close_matches(name, features, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(
                    f"train.{key} names {name!r}, which is no feature of the model: it has "
                    f"{', '.join(features)}{hint}"
                )
