"""Folds over the processes of a cluster: the same bytes in any number of workers."""

from dataclasses import replace

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from smcloud.core.listener import Silent
from smcloud.models.parameters import BoostingParams
from smcloud.models.tuning import TuningRules
from smcloud.production.train_request import TrainRequest
from smcloud.production.train_stage import train_table
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, GROUPS, study

pytestmark = pytest.mark.cluster


def test_any_number_of_workers_gives_the_same_assessment(tmp_path) -> None:
    world = study()
    request = TrainRequest(
        str(tmp_path / "here"),
        "mine",
        COLUMNS,
        SplitRules(block_degrees=0.5, gap_days=10),
        BoostingParams(rounds=20, early_stopping=5, threads=1, trees={"max_depth": 3}),
        folds=2,
        tuning=TuningRules(candidates=3, rungs=2, inner_folds=2),
        selection=SelectionRules(minimum_r=0.6, minimum_samples=50, bootstrap_draws=0),
        held_out_networks=("THREE",),
        groups=GROUPS,
        permutations=1,
        ablation=True,
    )

    def made(root: str, client: Client | None):
        asked = replace(request, root=str(tmp_path / root))
        found = train_table(
            world.rows, asked, client, Silent(), references=world.references, sites=world.sites
        )
        return found.card.to_json(), found.assessment

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        two = made("two", client)
        cluster.scale(1)
        one = made("one", client)
    here = made("here", None)
    for card, found in (one, two):
        assert card == here[0]
        assert replace(found, seconds={}).to_json() == replace(here[1], seconds={}).to_json()
        pd.testing.assert_frame_equal(found.rows, here[1].rows)
