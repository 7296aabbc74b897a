"""Bytes of HDF5 files that are wrong in ways that the library hides, or never comes back from."""

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.sources.day_files import DayFile
from smcloud.sources.hdf5_structure import check_heaps, check_superblock

HEAP_HEADER = 16


def write(path, libver="earliest"):
    """Write a file whose units are text of variable length, as NASA's are."""
    with h5py.File(path, "w", libver=libver) as file:
        layer = file.create_dataset("group/sm", data=np.zeros((20, 30), np.float32))
        layer.attrs["units"] = "cm**3/cm**3"
        layer.attrs["long_name"] = "Representative soil moisture"
    return path


def with_object(path, index, size):
    """Replace index and size of the first object in the first global heap of a file."""
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + HEAP_HEADER
    content[at : at + 2] = index.to_bytes(2, "little")
    content[at + 8 : at + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("lost", [1, 100, 2000])
def test_a_file_that_was_cut_off_says_how_much_is_there(libver, lost, tmp_path):
    path = write(tmp_path / "a.h5", libver)
    size = path.stat().st_size
    check_superblock(path)
    path.write_bytes(path.read_bytes()[:-lost])
    message = rf"a.h5 is damaged: it is cut off, {size - lost:,} of {size:,} bytes are there"
    with pytest.raises(GranuleError, match=message):
        DayFile(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected HDF5, found an empty file"),
        (b"<!DOCTYPE html><title>Earthdata Login", "expected HDF5, found bytes that begin b'<!DOC"),
        (b"\x0e\x03\x13\x01" + bytes(100), r"expected HDF5, found bytes that begin b'\\x0e"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "cut off after 28 bytes"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "no superblock of HDF5"),
    ],
)
def test_what_is_no_hdf5_is_said_in_one_line(content, message, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(GranuleError, match=message) as error:
        DayFile(path)
    assert str(error.value).startswith("a.h5")


def test_bytes_behind_the_end_do_no_harm(tmp_path):
    path = write(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes() + bytes(1000))
    file = DayFile(path)
    assert file.attribute("group/sm", "units") == "cm**3/cm**3"
    file.close()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("size", [0, 8, 5000, 2**63, 2**64 - 16])
def test_a_heap_whose_objects_do_not_follow_each_other_is_refused(index, size, tmp_path):
    """The first case keeps HDF5 2.0 in a loop without an end as soon as the units are read."""
    path = with_object(write(tmp_path / "a.h5"), index, size)
    if (index, size) in ((1, 0), (1, 8)):  # too short for its text, but the next may follow
        with pytest.raises(GranuleError):
            check_heaps(path)
        return
    file = DayFile(path)
    with pytest.raises(GranuleError, match=r"a.h5 is damaged: the text heap at byte \d+ has"):
        file.attribute("group/sm", "units")
    file.close()


def test_a_heap_longer_than_its_file_is_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL")
    content[at + 8 : at + 16] = (2**40).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(GranuleError, match="has no such size"):
        check_heaps(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_sound_heaps_of_every_layout_pass(libver, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for number in range(40):
            file.attrs[f"text-{number}"] = "x" * (37 * number)
        for number in range(0, 40, 3):
            del file.attrs[f"text-{number}"]
    check_heaps(path)
