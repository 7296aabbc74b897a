"""Folds over the processes of a cluster: the same bytes in any number of workers."""

from dataclasses import replace

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from smcloud.models.tuning import TuningRules
from tests.models.study import study
from tests.production.training_root import WHOLE, request_below, trained

pytestmark = pytest.mark.cluster


def test_any_number_of_workers_gives_the_same_assessment(tmp_path) -> None:
    world = study()
    rules = TuningRules(candidates=3, rungs=2, inner_folds=2)
    request = request_below(tmp_path, **WHOLE, folds=2, tuning=rules)

    def made(root: str, client: Client | None):
        found = trained(world, replace(request, root=str(tmp_path / root)), client=client)
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
