"""Trainings of the small study: one request for all tests, each with the changes it needs."""

from dataclasses import replace
from typing import Any

from distributed import Client

from smcloud.core.listener import Listener
from smcloud.models.parameters import BoostingParams
from smcloud.production.model_files import TrainSummary
from smcloud.production.train_request import TrainRequest
from smcloud.production.train_stage import train_table
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, GROUPS, Study
from tests.production.recorder import Recorder

WHOLE: dict[str, Any] = {
    "selection": SelectionRules(minimum_r=0.6, minimum_samples=50, bootstrap_draws=20),
    "held_out_networks": ("THREE",),
    "groups": GROUPS,
    "permutations": 1,
    "ablation": True,
}
"""Everything that an assessment may hold but the search."""


def request_below(root: object, **changes: Any) -> TrainRequest:
    """Return a training with few and shallow trees."""
    params = BoostingParams(rounds=30, early_stopping=5, threads=1, trees={"max_depth": 3})
    rules = SplitRules(block_degrees=0.5, gap_days=10)
    request = TrainRequest(str(root), "mine", COLUMNS, rules, params, target_units="m3 m-3")
    return replace(request, **changes)


def trained(
    world: Study,
    request: TrainRequest,
    listener: Listener | None = None,
    client: Client | None = None,
) -> TrainSummary:
    """Train on the study's rows, with its references and sites."""
    told = listener or Recorder()
    return train_table(
        world.rows, request, client, told, references=world.references, sites=world.sites
    )
