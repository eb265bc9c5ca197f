"""Text: files, tokenizers that know the training part alone, windows of a stream, rows of tokens."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hypersweep_trainer.data import split, text
from hypersweep_trainer.data.raw import DataError, Raw, Rows
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.data.text import Windows
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
TALE = "the quick brown fox jumps over the lazy dog. " * 40


def a_file(root: Path, content: str | bytes = TALE, name: str = "tale.txt") -> Path:
    data = content.encode() if isinstance(content, str) else content
    (root / name).write_bytes(data)
    return root / name


def blocks(*ends: int) -> Split:
    one, two, three = ends
    return Split(np.arange(one), np.arange(one, two), np.arange(two, three))


def read(path: Path, places: Split | None = None, **options: Any) -> text.TokenParts:
    given = Options(target="tokens", **{"context": 16, **options})
    raw = text.read(path, given)
    places = places or split.rows(len(raw.labels), raw.labels, given, 1.0)
    return text.parts(raw, places, given, CPU, final=True)


def everything(rows: Rows | None) -> tuple[Tensor, Tensor]:
    assert rows is not None
    return rows.take(torch.arange(len(rows)))


# files


def test_all_texts_of_a_folder_follow_one_another_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    a_file(tmp_path, "one ", "a.txt")
    a_file(tmp_path / "b", "two ", "1.txt")
    a_file(tmp_path, "three", "c.txt")
    a_file(tmp_path, "none", "d.md")
    raw = text.read(tmp_path, Options(tokenizer="bytes"))

    assert raw.tokens is not None
    assert "one two three" == text.decode(raw.tokens.tolist(), raw.about)
    assert ("sequence", "tokens", 13, 257) == (raw.task, raw.target, len(raw.labels), raw.vocabulary)


@pytest.mark.parametrize("tokenizer", ["chars", "bytes"])
def test_an_empty_text_is_told(tmp_path: Path, tokenizer: str) -> None:
    with pytest.raises(DataError, match=r"tale\.txt: must hold text, but is empty"):
        text.read(a_file(tmp_path, ""), Options(tokenizer=tokenizer))


def test_a_folder_without_texts_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold \.txt files, but holds none"):
        text.read(tmp_path, Options())


def test_a_text_that_is_not_utf_8_is_told_with_the_byte(tmp_path: Path) -> None:
    path = a_file(tmp_path, "schön".encode("latin-1"))

    with pytest.raises(DataError, match=r"tale\.txt: must be UTF-8, .* but byte 3 is 0xf6"):
        text.read(path, Options())
    assert 5 == len(text.read(path, Options(tokenizer="bytes")).labels)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (blocks(16, 100, 100), "16 tokens are for training, but a row needs 16"),
        (blocks(80, 96, 100), "16 tokens are for validation, but a row needs 16"),
    ],
)
def test_a_part_too_short_for_one_row_is_told(tmp_path: Path, places: Split, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(a_file(tmp_path), places)


# tokens


def test_characters_are_those_of_the_training_part_and_all_others_are_token_0(tmp_path: Path) -> None:
    path = a_file(tmp_path, "abab" * 20 + "abcz" * 10)
    found = read(path, blocks(80, 120, 120), context=4)
    x, y = everything(found.val)

    assert "ab" == found.encoding["characters"]
    assert 3 == found.vocabulary
    assert [1, 2, 0, 0] == x[0].tolist()
    assert [2, 0, 0, 1] == y[0].tolist()
    assert "abcz" == read(path, blocks(84, 120, 120), context=4).encoding["characters"]


@given(st.text(min_size=1))
def test_bytes_hold_every_text(words: str) -> None:
    tokens = text.encode(words, {"tokenizer": "bytes"})

    assert all(1 <= token <= 256 for token in tokens)
    assert words == text.decode(tokens, {"tokenizer": "bytes"})


@pytest.mark.parametrize(("tokenizer", "vocabulary"), [("chars", 29), ("bytes", 257)])
def test_an_encoding_reads_and_writes_text_also_after_a_trip_through_json(
    tmp_path: Path, tokenizer: str, vocabulary: int
) -> None:
    found = read(a_file(tmp_path), tokenizer=tokenizer)
    encoding = json.loads(json.dumps(found.encoding))

    assert vocabulary == found.vocabulary
    assert TALE[:16] == text.decode(everything(found.train)[0][0].tolist(), encoding)
    assert everything(found.train)[0][0].tolist() == text.encode(TALE[:16], encoding)


def test_what_no_training_row_held_is_shown_as_unknown(tmp_path: Path) -> None:
    encoding = read(a_file(tmp_path)).encoding

    assert [0] == text.encode("Ω", encoding)
    assert "d\ufffdg" == text.decode(text.encode("dΩg", encoding), encoding)
    assert "dg" == text.decode([101, 0, 104], {"tokenizer": "bytes"})


def test_tokens_without_a_tokenizer_are_written_as_numbers() -> None:
    assert [3, 1, 0] == text.encode("3 1 0", {"tokenizer": "none"})
    assert "3 1 0" == text.decode([3, 1, 0], {"tokenizer": "none"})


# rows


@pytest.mark.parametrize("context", [2, 7, 16])
def test_rows_are_windows_that_do_not_overlap_and_predict_the_next_token(
    tmp_path: Path, context: int
) -> None:
    found = read(a_file(tmp_path), blocks(1000, 1500, 1800), context=context)
    x, y = everything(found.train)

    assert ((1000 - 1) // context, context) == tuple(x.shape)
    assert torch.int64 == x.dtype == y.dtype
    assert torch.equal(x.flatten()[1:], y.flatten()[:-1])
    assert TALE[: x.numel()] == text.decode(x.flatten().tolist(), found.encoding)
    assert TALE[1 : x.numel() + 1] == text.decode(y.flatten().tolist(), found.encoding)


@given(st.integers(30, 200), st.integers(2, 9), st.integers(0, 3), st.floats(0.1, 1))
def test_no_token_lies_in_two_parts(count: int, context: int, fold: int, fraction: float) -> None:
    options = Options(target="tokens", context=context, folds=4, fold=fold)
    raw = Raw("sequence", "tokens", np.zeros(count), "", tokens=np.arange(count), vocabulary=count)
    try:
        places = split.rows(count, raw.labels, options, fraction)
        found = text.parts(raw, places, options, CPU, final=True)
    except DataError:  # too few tokens for a row
        return
    parts = [set(torch.cat(everything(part), 1).flatten().tolist()) for part in (found.train, found.val)]
    x, y = everything(found.train)

    assert parts[0] <= set(places.train.tolist())
    assert parts[1] <= set(places.val.tolist())
    assert x.numel() == x.unique().numel()
    assert torch.equal(x + 1, y)


def test_rows_can_be_taken_in_any_order_and_the_test_part_only_in_the_end(tmp_path: Path) -> None:
    options = Options(target="tokens", context=16)
    raw = text.read(a_file(tmp_path), options)
    found = text.parts(raw, blocks(1000, 1500, 1800), options, CPU, final=False)
    x, y = everything(found.train)

    assert found.test is None
    assert torch.equal(x[[5, 0, 5]], found.train.take(torch.tensor([5, 0, 5]))[0])
    assert torch.equal(y[[5, 0, 5]], found.train.take(torch.tensor([5, 0, 5]))[1])


def test_rows_of_tokens_keep_their_labels() -> None:
    tokens = np.arange(60).reshape(10, 6) % 5
    raw = Raw("sequence", "classification", np.arange(10) % 2, "", ("a", "b"), tokens=tokens, vocabulary=5)
    found = text.parts(raw, blocks(6, 8, 10), Options(context=64), CPU, final=True)
    x, y = everything(found.val)

    assert (6, 5, {"tokenizer": "none"}) == (found.context, found.vocabulary, found.encoding)
    assert tokens[6:8].tolist() == x.tolist()
    assert [0, 1] == y.tolist()
    assert torch.int64 == x.dtype == y.dtype


def test_rows_of_tokens_without_labels_predict_their_own_next_tokens() -> None:
    tokens = np.arange(60).reshape(10, 6)
    raw = Raw("sequence", "tokens", np.zeros(10), "", tokens=tokens, vocabulary=60)
    found = text.parts(raw, blocks(6, 8, 10), Options(context=64), CPU, final=True)
    x, y = everything(found.test)

    assert 5 == found.context
    assert tokens[8:, :-1].tolist() == x.tolist()
    assert tokens[8:, 1:].tolist() == y.tolist()


# memory

LARGE = 1 << 22


@pytest.mark.parametrize(
    ("content", "tokenizer", "each", "peak"),
    [
        (b"a gigabyte of this ", "chars", 1, 3.2),
        ("zwölf Boxkämpfer ".encode(), "chars", 1, 3.2),
        ("съешь ещё булок ".encode(), "chars", 1, 3.2),  # two bytes a character in the file, too
        (b"a gigabyte of this ", "bytes", 2, 4.2),
    ],
)
def test_a_text_needs_a_few_times_its_size_to_be_read_and_a_byte_or_two_for_each_token_then(
    tmp_path: Path, content: bytes, tokenizer: str, each: int, peak: float
) -> None:
    path = a_file(tmp_path, content * (LARGE // len(content)))
    options = Options(target="tokens", tokenizer=tokenizer)
    read(path, tokenizer=tokenizer)
    tracemalloc.start()
    raw = text.read(path, options)
    found = text.parts(raw, split.cut(len(raw.labels), options, 1.0), options, CPU, final=True)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(found.train, Windows)
    assert each * len(raw.labels) == found.train.stream.nbytes
    assert most < peak * LARGE + 10 * text.CHUNK + 9 * text.POINTS


def test_characters_cut_by_a_piece_of_the_file_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "CHUNK", 3)
    words = "aé€😀b" * 5
    raw = text.read(a_file(tmp_path, words), Options())
    assert raw.tokens is not None

    assert list(map(ord, words)) == raw.tokens.tolist()
    with pytest.raises(DataError, match=r"tale\.txt: must be UTF-8, .* but byte 6 is 0xff"):
        text.read(a_file(tmp_path, "aé€".encode() + b"\xff"), Options())
    with pytest.raises(DataError, match=r"tale\.txt: must be UTF-8, .* but byte 9 is 0xe2"):
        text.read(a_file(tmp_path, "123456789€".encode()[:-1]), Options())


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(min_size=1))
def test_characters_are_numbered_as_one_by_one(words: str, known: str) -> None:
    encoding = {"tokenizer": "chars", "characters": "".join(sorted(set(known)))}
    points = np.array(list(map(ord, words)), np.uint32)

    assert text.encode(words, encoding) == text.numbered(points, encoding).tolist()


@given(st.integers(5, 200), st.integers(0, 4), st.floats(0.1, 1), st.floats(0.01, 0.5), st.floats(0, 0.3))
def test_a_cut_stream_has_the_parts_and_the_digest_of_its_positions(
    count: int, folds: int, fraction: float, val: float, test: float
) -> None:
    folds = folds if folds > 1 else 0
    options = Options(target="tokens", folds=folds, fold=folds // 2, val_fraction=val, test_fraction=test)
    try:
        whole = split.rows(count, np.zeros(count), options, fraction)
    except DataError:  # too few tokens
        return
    cut = split.cut(count, options, fraction)
    rest = np.arange(count - len(whole.test))
    blocks = np.array_split(rest, folds) if folds else [rest[len(rest) - len(whole.val) :]]

    assert blocks[options.fold].tolist() == whole.val.tolist()
    for name in ("train", "val", "test"):
        runs = getattr(cut, name)
        assert getattr(whole, name).tolist() == [place for run in runs for place in run]
    assert whole.digest == cut.digest
