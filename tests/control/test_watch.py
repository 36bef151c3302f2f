"""A change is noticed however it is made, once, and only when it is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshproxy.control.watch import Text, Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "meshproxy.yaml"
    path.write_text("first")
    return path


@pytest.fixture
def watch(file: Path) -> Watch:
    watch = Watch(file)
    assert watch.read() == b"first"
    return watch


def looks(watch: Watch, count: int = 4) -> int:
    """How many of so many polls tell of a change."""
    return sum(watch.poll() for _ in range(count))


def test_a_file_that_rests_is_no_news(watch: Watch) -> None:
    assert looks(watch, 10) == 0
    assert not watch.settling


def test_an_edit_in_place_is_told_once_and_after_it_rests(watch: Watch, file: Path) -> None:
    file.write_text("second")
    assert not watch.poll()
    assert watch.settling
    assert watch.poll()
    assert not watch.settling
    assert looks(watch) == 0
    assert watch.read() == b"second"


def test_a_rename_is_told(watch: Watch, file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_text("other")
    other.replace(file)
    assert looks(watch) == 1


def test_a_rename_of_the_same_size_and_times_is_told(watch: Watch, file: Path) -> None:
    old = file.stat()
    other = file.with_suffix(".new")
    other.write_text("FIRST")
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(file)
    assert looks(watch) == 1


def test_a_swap_of_the_link_above_the_file_is_told(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "meshproxy.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "meshproxy.yaml").symlink_to("..data/meshproxy.yaml")
    watch = Watch(tmp_path / "meshproxy.yaml")
    assert watch.read() == b"v1"
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert looks(watch) == 1
    assert watch.read() == b"v2"


def test_the_same_content_again_is_no_news(watch: Watch, file: Path) -> None:
    file.write_text("first")
    assert looks(watch) == 0


def test_a_file_that_grows_is_told_only_when_it_stops(watch: Watch, file: Path) -> None:
    with file.open("wb") as half:
        for _ in range(20):
            half.write(b"line\n")
            half.flush()
            assert not watch.poll()
    assert looks(watch) == 1
    assert watch.read() == b"line\n" * 20


def test_what_was_read_in_between_is_known(watch: Watch, file: Path) -> None:
    file.write_text("second")
    assert not watch.poll()
    assert watch.read() == b"second"
    assert looks(watch) == 0


def test_a_change_after_a_read_is_told(watch: Watch, file: Path) -> None:
    file.write_text("second")
    watch.read()
    file.write_text("third!")
    assert looks(watch) == 1


def test_a_vanished_file_is_trouble_until_it_is_back(watch: Watch, file: Path) -> None:
    file.unlink()
    assert not watch.poll()
    assert watch.trouble is None, "an editor may be between two steps of a rename"
    assert not watch.poll()
    assert watch.trouble == "No such file or directory"
    file.write_text("first")
    assert looks(watch) == 1, "the same content counts after a gap"
    assert watch.trouble is None


def test_a_file_that_comes_back_between_two_looks_is_no_trouble(watch: Watch, file: Path) -> None:
    file.unlink()
    watch.poll()
    file.write_text("second")
    assert looks(watch) == 1
    assert watch.trouble is None


def test_a_folder_in_the_place_of_the_file_is_trouble(watch: Watch, file: Path) -> None:
    file.unlink()
    file.mkdir()
    assert looks(watch) == 0
    assert watch.trouble == "Is a directory"


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Watch(tmp_path / "none.yaml").read()


def test_a_pipe_is_read_once_and_never_waited_for_again() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    try:
        watch = Watch(Path(f"/dev/fd/{reader}"))
        assert watch.read() == b"piped"
        assert looks(watch) == 0
        with pytest.raises(OSError, match="only once"):
            watch.read()
    finally:
        os.close(reader)


def test_text_stays_as_it_is() -> None:
    text = Text("standard input", b"inbound: {}")
    assert text.read() == text.read() == b"inbound: {}"
    assert not text.poll()
    assert text.trouble is None
