"""Random damage to an HDF4 file: an error or a file, never a crash, never another kind of error."""

import subprocess
import sys

import pytest

SEEDS = 24

READ_DAMAGED = """
import random, sys
from pathlib import Path
from smcloud.core.errors import GranuleError
from smcloud.sources.modis import MOD11A1

whole, folder, seeds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
refused = 0
for seed in range(seeds):
    chance, data = random.Random(seed), bytearray(whole.read_bytes())
    if seed % 3 == 0:
        data = data[: chance.randrange(len(data))]
    elif seed % 3 == 1:
        for _ in range(12):
            data[chance.randrange(len(data))] = chance.randrange(256)
    else:
        for _ in range(6):
            data[chance.randrange(4000)] = chance.randrange(256)
    path = folder / whole.name
    path.write_bytes(data)
    try:
        MOD11A1.read(path)
    except GranuleError:
        refused += 1
print(refused)
"""


@pytest.mark.faults
def test_damaged_files_neither_crash_nor_hang_the_library(sample_files, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", READ_DAMAGED, sample_files("mod11a1")[0], tmp_path, str(SEEDS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert int(run.stdout) >= SEEDS // 3
