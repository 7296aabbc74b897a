"""One season of one Earth, and what the two products make of it; tests work in twins of it."""

import pytest

from tests.end_to_end.maps import maps_of
from tests.end_to_end.season import SMAP, WEATHER, make_earth, smcloud, write_run


@pytest.fixture(scope="session")
def earth(tmp_path_factory):
    """The folder of the granules."""
    folder = tmp_path_factory.mktemp("earth")
    make_earth(folder)
    return folder


@pytest.fixture(scope="session")
def runs(earth):
    """The run files of both products, made from native files on, below one root."""
    runs = {product: write_run(earth, earth, product) for product in (SMAP, WEATHER)}
    for run in runs.values():
        smcloud("run", run)
    return runs


@pytest.fixture(scope="session")
def all_maps(runs):
    """The maps of both products."""
    return {product: maps_of(run) for product, run in runs.items()}


@pytest.fixture(params=[SMAP, WEATHER])
def product(request):
    """Each product in turn."""
    return request.param


@pytest.fixture
def run(runs, product):
    """The run file of a product."""
    return runs[product]


@pytest.fixture
def maps(all_maps, product):
    """The maps of a product."""
    return all_maps[product]
