"""What the runner promises without any cluster: order, retries, and the first error that stays."""

import pytest

from smcloud.core.errors import NotFoundError, StoreError, StoreFullError
from smcloud.core.listener import Silent
from smcloud.production.runner import Task, may_pass, run_tasks


class Told(Silent):
    def __init__(self):
        self.retries = []

    def advance(self, steps=1, **figures):
        self.retries.append(figures["retries"])


class Flaky:
    """Fails as a table says: key -> errors to raise before it succeeds."""

    def __init__(self, failures):
        self.failures = {key: list(errors) for key, errors in failures.items()}
        self.calls = []

    def __call__(self, key):
        self.calls.append(key)
        if self.failures.get(key):
            raise self.failures[key].pop(0)
        return key.upper()


def tasks_of(flaky, keys):
    return [Task(key, flaky, (key,)) for key in keys]


def test_each_result_reaches_on_done_with_its_task():
    results = {}
    run_tasks(
        None,
        tasks_of(Flaky({}), "ab"),
        window=1,
        on_done=lambda task, result: results.update({task.key: result}),
    )
    assert results == {"a": "A", "b": "B"}


def test_an_error_that_may_pass_is_tried_again_and_counted():
    flaky = Flaky({"a": [StoreError("503")], "b": [StoreError("503"), TimeoutError()]})
    told, done = Told(), []
    run_tasks(
        None,
        tasks_of(flaky, "abc"),
        window=1,
        retries=2,
        listener=told,
        on_done=lambda task, result: done.append(result),
    )
    assert flaky.calls == ["a", "a", "b", "b", "b", "c"]
    assert (done, told.retries) == (["A", "B", "C"], [1, 2, 3])


def test_an_error_that_stays_stops_the_run_unchanged():
    flaky = Flaky({"b": [StoreFullError("no space left")]})
    with pytest.raises(StoreFullError, match="no space left"):
        run_tasks(None, tasks_of(flaky, "abc"), window=1, on_done=lambda *_: None)
    assert flaky.calls == ["a", "b"]


def test_retries_end():
    flaky = Flaky({"a": [StoreError("503")] * 5})
    with pytest.raises(StoreError, match="503"):
        run_tasks(None, tasks_of(flaky, "a"), window=1, retries=2, on_done=lambda *_: None)
    assert flaky.calls == ["a"] * 3


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (StoreError("503"), True),
        (ConnectionResetError(), True),
        (OSError(5, "I/O error"), True),
        (OSError(28, "no space"), False),
        (StoreFullError("full"), False),
        (NotFoundError("gone"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_errors_that_may_pass_are_retried(error, passes):
    assert may_pass(error) is passes
