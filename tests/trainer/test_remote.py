"""Data in a bucket: kept on this machine, checked by size and etag, whole whatever is killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hypersweep.store import StoreError
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.remote import fetch
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]

pytestmark = pytest.mark.usefixtures("s3")

FETCH = "import sys; from hypersweep_trainer.data.remote import fetch; fetch(sys.argv[1], sys.argv[2])"


def put(client: Any, **objects: str | bytes) -> None:
    """Objects by their keys, in which `__` stands for a slash."""
    for key, content in objects.items():
        body = content.encode() if isinstance(content, str) else content
        client.put_object(Bucket="sweeps", Key=key.replace("__", "/"), Body=body)


@pytest.fixture
def env(endpoint: str) -> dict[str, str]:
    return {"HYPERSWEEP_STORE_ENDPOINT": endpoint, "HYPERSWEEP_STORE_REGION": "us-east-1"}


def below(folder: Path) -> dict[str, str]:
    """The files of a folder and what they hold."""
    return {
        str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if not file.is_dir()
    }


def inodes(folder: Path) -> dict[str, int]:
    """Which files these are: one that was fetched anew is another."""
    return {file.name: file.stat().st_ino for file in folder.rglob("*") if not file.is_dir()}


def test_a_prefix_becomes_a_folder_and_an_object_a_file(tmp_path: Path, s3: Any, env: dict[str, str]) -> None:
    put(s3, data__cat__1="one", data__dog__2="two", database__3="no", data__empty__="")
    folder = fetch("s3://sweeps/data", str(tmp_path), env)
    file = fetch("s3://sweeps/data/dog/2", str(tmp_path), env)

    assert {"cat/1": "one", "dog/2": "two"} == below(folder)
    assert ("2", "two") == (file.name, file.read_text())
    assert folder == fetch("s3://sweeps/data/", str(tmp_path), env)
    assert {"data/cat/1", "database/3"} <= below(fetch("s3://sweeps", str(tmp_path), env)).keys()


def test_only_what_changed_is_fetched_again(tmp_path: Path, s3: Any, env: dict[str, str]) -> None:
    put(s3, data__a="aa", data__b="bb", data__c="cc")
    folder = fetch("s3://sweeps/data", str(tmp_path), env)
    before = inodes(folder)
    assert before == inodes(fetch("s3://sweeps/data", str(tmp_path), env))

    put(s3, data__b="xx")  # as large as before: its etag tells
    assert {"a": "aa", "b": "xx", "c": "cc"} == below(fetch("s3://sweeps/data", str(tmp_path), env))
    assert ["b"] == [name for name, number in inodes(folder).items() if number != before[name]]


def test_what_is_gone_goes_and_leaves_no_empty_folder(tmp_path: Path, s3: Any, env: dict[str, str]) -> None:
    put(s3, data__cat__1="one", data__dog__2="two", data__eel="three")
    folder = fetch("s3://sweeps/data", str(tmp_path), env)
    for key in ("data/dog/2", "data/eel"):
        s3.delete_object(Bucket="sweeps", Key=key)
    put(s3, data__eel__4="four")

    fetch("s3://sweeps/data", str(tmp_path), env)
    assert ["cat", "cat/1", "eel", "eel/4"] == sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_file_that_was_cut_short_or_lost_is_fetched_again(
    tmp_path: Path, s3: Any, env: dict[str, str]
) -> None:
    put(s3, data__a="aa", data__b="bb", data__c="cc")
    folder = fetch("s3://sweeps/data", str(tmp_path), env)
    (folder / "a").write_text("a")
    (folder / "b").unlink()

    assert {"a": "aa", "b": "bb", "c": "cc"} == below(fetch("s3://sweeps/data", str(tmp_path), env))


def test_a_listing_of_many_pages_is_read_to_its_end(
    tmp_path: Path, s3: Any, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    put(s3, **{f"data__{number:02d}": str(number) for number in range(20)})

    assert {f"{number:02d}": str(number) for number in range(20)} == below(
        fetch("s3://sweeps/data", str(tmp_path), env)
    )


def test_processes_that_fetch_at_once_find_all_of_it(tmp_path: Path, s3: Any, env: dict[str, str]) -> None:
    put(s3, **{f"data__{number}": f"{number}" * 100 for number in range(20)})
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: below(fetch("s3://sweeps/data", str(tmp_path), env)), range(6)))

    assert [{str(number): f"{number}" * 100 for number in range(20)}] * 6 == found


def test_a_killed_fetch_leaves_whole_files_and_the_next_goes_on_from_there(
    tmp_path: Path, s3: Any, env: dict[str, str]
) -> None:
    content = {f"{number:03d}": f"{number:03d}" * 1000 for number in range(80)}
    put(s3, **{f"data__{name}": words for name, words in content.items()})
    command = [sys.executable, "-c", FETCH, "s3://sweeps/data", str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True)
    index = tmp_path / "index"
    until = time.monotonic() + 60
    while not index.exists() or index.read_text().count("\n") < 10:
        index = next(tmp_path.glob("*/partial.jsonl"), index)
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    files = index.parent / "files"
    held, before = below(files), inodes(files)
    known = [line.split('"')[1] for line in index.read_text().splitlines()]

    assert 10 <= len(held) < 80
    assert held == {name: content[name] for name in held}
    assert content == below(fetch("s3://sweeps/data", str(tmp_path), env))
    after = inodes(files)
    assert [before[name] for name in known[:10]] == [after[name] for name in known[:10]]
    assert ["files", "index.jsonl", "lock", "unfinished"] == sorted(os.listdir(index.parent))
    assert [] == os.listdir(index.parent / "unfinished")


def test_the_cache_is_the_users_unless_another_is_named(
    tmp_path: Path, s3: Any, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, data__a="a")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert fetch("s3://sweeps/data", "", env).is_relative_to(tmp_path / "home/.cache/hypersweep/data")
    more = {**env, "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    assert fetch("s3://sweeps/data", "", more).is_relative_to(tmp_path / "xdg/hypersweep/data")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://elsewhere/data", "^s3://elsewhere/data: must be readable, but .*NoSuchBucket"),
        ("s3://sweeps/nothing", "^s3://sweeps/nothing/: must hold objects, but holds none"),
        ("s3://sweeps/up", r"^s3://sweeps/up/: must hold objects with names of files, but one is '../a'"),
        ("s3://Not_A_Bucket!/data", "^s3://Not_A_Bucket!/data: must be readable, but"),
    ],
)
def test_what_can_never_be_read_is_told(
    tmp_path: Path, s3: Any, env: dict[str, str], url: str, words: str
) -> None:
    s3.put_object(Bucket="sweeps", Key="up/../a", Body=b"")

    with pytest.raises(DataError, match=words):
        fetch(url, str(tmp_path), env)


def test_names_that_cannot_lie_in_one_folder_are_told(tmp_path: Path, s3: Any, env: dict[str, str]) -> None:
    put(s3, data__a="file", data__a__b="folder")

    with pytest.raises(DataError, match="no object may have the name of a folder"):
        fetch("s3://sweeps/data", str(tmp_path), env)


def test_a_service_that_does_not_answer_may_do_so_later(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^s3://sweeps/data: cannot be read"):
        fetch("s3://sweeps/data", str(tmp_path), {"HYPERSWEEP_STORE_ENDPOINT": "http://127.0.0.1:9"})


def test_local_paths_are_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert tmp_path == fetch(str(tmp_path), "")
    assert tmp_path / "a.csv" == fetch(f"file://{tmp_path}/a.csv", "") == fetch("~/a.csv", "")
    with pytest.raises(DataError, match=r"b\.csv: must be a file or folder, but there is none"):
        fetch(str(tmp_path / "b.csv"), "")
