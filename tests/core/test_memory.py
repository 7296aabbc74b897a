"""The peak of a process is its own, whoever started it."""

import subprocess
import sys

import numpy as np

from smcloud.core.memory import peak_bytes

MIB = 2**20


def test_the_peak_rises_with_what_was_held_and_stays():
    before = peak_bytes()
    held = np.ones(64 * MIB, np.uint8)
    assert peak_bytes() >= before
    size = held.nbytes
    del held
    assert peak_bytes() >= size


def test_a_process_does_not_inherit_the_peak_of_its_parent():
    held = np.ones(512 * MIB, np.uint8)
    code = "from smcloud.core.memory import peak_bytes; print(peak_bytes())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) < held.nbytes / 2
