"""A store in a directory: durable, without litter, and clear about what stands in its way."""

import os
from pathlib import Path

import pytest

from hypersweep.store import DirectoryStore, StoreError, StoreRefused, Taken


def test_nothing_but_the_value_is_left_in_a_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"1")
    store.write_once("b", b"1")
    with pytest.raises(Taken):
        store.write_once("b", b"2")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_temporary_file_that_a_killed_writer_left_is_not_a_key(tmp_path: Path) -> None:
    (tmp_path / ".5ca1ab1e.tmp").write_bytes(b"half")

    assert list(DirectoryStore(tmp_path).list()) == []


def test_what_stands_in_the_way_of_a_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file" / "runs")

    with pytest.raises(StoreRefused, match=r"cannot write 'a': each part of the path must be a folder"):
        store.write("a", b"x")


def test_a_full_disk_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = DirectoryStore(tmp_path)
    with pytest.raises(StoreError, match="cannot write 'a': No space left on device") as raised:
        store.write("a", b"x")

    assert raised.type is StoreError
    assert list(store.list()) == []


def test_a_value_is_durable_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, n=name, f=real: (calls.append(n), f(*args))[1])
    store = DirectoryStore(tmp_path)
    store.write("a", b"x")
    store.write_once("b", b"x")

    assert calls == ["fsync", "replace", "fsync", "fsync", "link", "fsync"]
