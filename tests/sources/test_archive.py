"""Zips that are not what they should be, and members read by ranges."""

import struct
import zipfile

import pytest

from smcloud.core.errors import GranuleError, UserError
from smcloud.core.objects import Objects, open_objects
from smcloud.sources.archive import ArchiveLimits, Zip, list_zip, read_member


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as package:
        for name, content in members:
            package.writestr(name, content)
    return path


def zip_at(path):
    info = open_objects(str(path.parent)).head(path.name)
    return Zip(str(path.parent), path.name, info.size, info.etag)


def test_members_are_sorted_and_read_without_unpacking(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("b/two.stm", b"2"), ("a/one.stm", b"1"), ("x/", b"")])
    package = zip_at(path)
    members = list_zip(package)
    assert [member.name for member in members] == ["a/one.stm", "b/two.stm"]
    assert [read_member(package, member.name, member.size) for member in members] == [b"1", b"2"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip"]


def test_a_member_of_a_large_zip_is_read_without_the_rest(tmp_path, monkeypatch):
    large = bytes(range(256)) * 65_536
    members = [(f"{number}.bin", large) for number in range(4)] + [("z.stm", b"wanted")]
    package = zip_at(write_zip(tmp_path / "large.zip", members, zipfile.ZIP_STORED))
    asked = []
    get_range = Objects.get_range

    def counted(self, key, start, length):
        asked.append(length)
        return get_range(self, key, start, length)

    monkeypatch.setattr(Objects, "get_range", counted)
    assert read_member(package, "z.stm", 6) == b"wanted"
    assert sum(asked) < package.size / 4


def test_a_zip_that_was_written_again_is_opened_again(tmp_path):
    before = zip_at(write_zip(tmp_path / "a.zip", [("one.stm", b"1")]))
    assert read_member(before, "one.stm", 1) == b"1"
    after = zip_at(write_zip(tmp_path / "a.zip", [("one.stm", b"22")]))
    assert read_member(after, "one.stm", 2) == b"22"


@pytest.mark.parametrize(
    "name", ["../out.stm", "a/../../out.stm", "/etc/passwd", "C:/out.stm", "..\\out.stm"]
)
def test_members_outside_the_folder_are_refused(tmp_path, name):
    path = write_zip(tmp_path / "bad.zip", [(name, b"x")])
    with pytest.raises(UserError, match=r"bad\.zip is unsafe: its member .* outside its folder"):
        list_zip(zip_at(path))


def test_too_many_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "many.zip", [(f"{number}.stm", b"") for number in range(11)])
    with pytest.raises(UserError, match="holds more than the 10 files expected"):
        list_zip(zip_at(path), ArchiveLimits(members=10))


def test_a_huge_ratio_is_refused(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", [("bomb.stm", b"0" * 4_000_000)])
    with pytest.raises(UserError, match=r"unpacks .* fold, expected at most 300 fold"):
        list_zip(zip_at(path))


def test_huge_sizes_are_refused(tmp_path):
    package = zip_at(write_zip(tmp_path / "big.zip", [("a", b"x" * 600), ("b", b"x" * 600)]))
    with pytest.raises(UserError, match="'a' has 600 bytes, expected at most 500"):
        list_zip(package, ArchiveLimits(member_bytes=500))
    with pytest.raises(UserError, match="unpacks to 1,200 bytes, expected at most 1,000"):
        list_zip(package, ArchiveLimits(total_bytes=1000))


def test_a_member_that_lies_about_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "liar.zip", [("a.stm", b"0123456789" * 10)])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100), struct.pack("<I", 10)))
    package = zip_at(path)
    (member,) = list_zip(package)
    with pytest.raises(GranuleError, match=r"a\.stm"):
        read_member(package, member.name, member.size)


def test_the_same_name_twice_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(path, [("a.stm", b"1"), ("a.stm", b"2")])
    with pytest.raises(UserError, match=r"holds 'a\.stm' twice"):
        list_zip(zip_at(path))


def test_a_damaged_zip_and_a_lost_member_are_named(tmp_path):
    path = write_zip(tmp_path / "cut.zip", [("a.stm", b"1" * 500)])
    with pytest.raises(GranuleError, match=r"cut\.zip: b\.stm is no longer in it"):
        read_member(zip_at(path), "b.stm", 500)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(GranuleError, match=r"cut\.zip: expected a zip file"):
        list_zip(zip_at(path))


def test_a_flipped_byte_in_a_member_is_found(tmp_path):
    path = write_zip(tmp_path / "flip.zip", [("a.stm", b"123456789" * 50)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(GranuleError, match=r"flip\.zip: a\.stm is damaged"):
        read_member(zip_at(path), "a.stm", 450)
