"""The runner on real worker processes."""

import os
import time

import pytest

from smcloud.core.errors import StoreError
from smcloud.production.runner import Task, run_tasks

pytestmark = pytest.mark.cluster


def square(number):
    return number * number


def fail_once(folder, number):
    """Fail the first time that any worker runs this number."""
    try:
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return number
    raise StoreError(f"503 for {number}")


def slow_or_wrong(number):
    if number == 1:
        raise ValueError("number 1 is wrong")
    time.sleep(0.2)
    return number


def collect(client, tasks, **options):
    results = {}
    run_tasks(
        client, tasks, on_done=lambda task, value: results.update({task.key: value}), **options
    )
    return results


def test_all_results_come_back_through_a_small_window(client):
    tasks = [Task(f"square-b{n:02d}", square, (n,)) for n in range(20)]
    assert collect(client, tasks, window=3) == {f"square-b{n:02d}": n * n for n in range(20)}


def test_the_window_is_never_exceeded(client):
    issued, done, out = 0, 0, []

    def tasks():
        nonlocal issued
        for number in range(12):
            issued += 1
            out.append(issued - done)
            yield Task(f"window-b{number:02d}", square, (number,))

    def count(task, value):
        nonlocal done
        done += 1

    run_tasks(client, tasks(), window=4, on_done=count)
    assert done == 12
    # one more than the window: a task is taken from the iterator before the next landing
    assert max(out) <= 4


def test_the_same_keys_can_run_again_with_other_arguments(client):
    assert collect(client, [Task("same-b00", square, (2,))], window=1) == {"same-b00": 4}
    assert collect(client, [Task("same-b00", square, (3,))], window=1) == {"same-b00": 9}


def test_a_passing_error_is_retried_on_the_cluster(client, tmp_path):
    tasks = [Task(f"flaky-b{n:02d}", fail_once, (str(tmp_path), n)) for n in range(4)]
    assert collect(client, tasks, window=2) == {f"flaky-b{n:02d}": n for n in range(4)}


def test_the_first_error_cancels_the_rest(client):
    tasks = [Task(f"wrong-b{n:02d}", slow_or_wrong, (n,)) for n in range(40)]
    started = time.monotonic()
    with pytest.raises(ValueError, match="number 1 is wrong"):
        collect(client, tasks, window=40)
    assert time.monotonic() - started < 3
    assert collect(client, [Task("after-b00", square, (5,))], window=1) == {"after-b00": 25}
