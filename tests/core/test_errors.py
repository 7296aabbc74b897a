"""Errors travel from workers to the runner whole."""

import pickle

import pytest

from smcloud.core import errors

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.SmcloudError)
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(kind):
    words = ("pyhdf", "hdf4", "reading MODIS") if kind is errors.MissingExtraError else ("why",)
    error = kind(*words)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.exit_code) == (kind, str(error), error.exit_code)
