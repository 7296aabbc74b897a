"""Archives that are not what they should be."""

import struct
import zipfile

import pytest

from smcloud.core.errors import GranuleError, UserError
from smcloud.sources.archive import ArchiveLimits, open_archive


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as package:
        for name, content in members:
            package.writestr(name, content)
    return path


def test_members_are_sorted_and_read_without_unpacking(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("b/two.stm", b"2"), ("a/one.stm", b"1"), ("x.xml", b"")])
    members = open_archive(path, suffixes=(".stm",))
    assert [member.name for member in members] == ["a/one.stm", "b/two.stm"]
    assert [member.read() for member in members] == [b"1", b"2"]
    assert members[0].file_name == "one.stm"


def test_a_folder_reads_like_a_zip_and_follows_no_links(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "one.stm").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "in" / "link.stm").symlink_to(tmp_path / "secret")
    members = open_archive(tmp_path / "in")
    assert [(member.name, member.read()) for member in members] == [("deep/one.stm", b"1")]


@pytest.mark.parametrize(
    "name", ["../out.stm", "a/../../out.stm", "/etc/passwd", "C:/out.stm", "..\\out.stm"]
)
def test_members_outside_the_folder_are_refused(tmp_path, name):
    path = write_zip(tmp_path / "bad.zip", [(name, b"x")])
    with pytest.raises(UserError, match=r"bad\.zip is unsafe: its member .* outside its folder"):
        open_archive(path)


def test_too_many_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "many.zip", [(f"{number}.stm", b"") for number in range(11)])
    with pytest.raises(UserError, match="holds more than the 10 files expected"):
        open_archive(path, limits=ArchiveLimits(members=10))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(11):
        (folder / str(number)).touch()
    with pytest.raises(UserError, match="holds more than the 10 files expected"):
        open_archive(folder, limits=ArchiveLimits(members=10))


def test_a_huge_ratio_is_refused(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", [("bomb.stm", b"0" * 4_000_000)])
    with pytest.raises(UserError, match=r"unpacks .* fold, expected at most 300 fold"):
        open_archive(path)


def test_huge_sizes_are_refused(tmp_path):
    path = write_zip(tmp_path / "big.zip", [("a", b"x" * 600), ("b", b"x" * 600)])
    with pytest.raises(UserError, match="'a' has 600 bytes, expected at most 500"):
        open_archive(path, limits=ArchiveLimits(member_bytes=500))
    with pytest.raises(UserError, match="unpacks to 1,200 bytes, expected at most 1,000"):
        open_archive(path, limits=ArchiveLimits(total_bytes=1000))


def test_a_member_that_lies_about_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "liar.zip", [("a.stm", b"0123456789" * 10)])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100), struct.pack("<I", 10)))
    (member,) = open_archive(path)
    with pytest.raises(GranuleError, match=r"a\.stm"):
        member.read()


def test_the_same_name_twice_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(path, [("a.stm", b"1"), ("a.stm", b"2")])
    with pytest.raises(UserError, match=r"holds 'a\.stm' twice"):
        open_archive(path)


def test_damaged_and_absent_archives_are_told_apart(tmp_path):
    path = write_zip(tmp_path / "cut.zip", [("a.stm", b"1" * 500)])
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(GranuleError, match=r"cut\.zip: expected a zip file"):
        open_archive(path)
    with pytest.raises(UserError, match="expected a folder or a zip file, found nothing"):
        open_archive(tmp_path / "absent")


def test_a_flipped_byte_in_a_member_is_found(tmp_path):
    path = write_zip(tmp_path / "flip.zip", [("a.stm", b"123456789" * 50)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(GranuleError, match=r"flip\.zip: a\.stm is damaged"):
        open_archive(path)[0].read()
