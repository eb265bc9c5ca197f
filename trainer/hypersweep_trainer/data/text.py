"""Text as tokens: read from files, made of characters or bytes, and cut into rows."""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import DataError, Raw, Rows, Tokens, smallest
from hypersweep_trainer.data.room import Room
from hypersweep_trainer.data.split import Cut, Places, Runs, Split
from hypersweep_trainer.data.stream import Held, Pair, Streamed, laid, pair, tensor
from hypersweep_trainer.options import Options

BYTES = 257  # tokens: what is hidden, and each byte
POINTS = 0x110000  # code points of Unicode
CHUNK = 1 << 20  # bytes or tokens that are worked on at a time
UNKNOWN = "\ufffd"  # how a token that stands for no character is shown


@dataclass(frozen=True)
class TokenParts:
    """Rows of tokens of each part."""

    train: Rows
    val: Rows
    test: Rows | None
    vocabulary: int  # tokens, that of the hidden and unseen, 0, among them
    context: int  # tokens of one row
    encoding: Mapping[str, Any]  # what `encode` and `decode` need, plain types


@dataclass(frozen=True)
class Windows:
    """Rows that lie one after the other in a stream of tokens; each token's target is the one after it."""

    stream: Tensor  # (tokens,) of any integer type
    starts: Tensor  # (n,) where a row begins
    context: int

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.starts), self.context + 1

    @property
    def dtype(self) -> torch.dtype:
        return self.stream.dtype

    @property
    def device(self) -> torch.device:
        return self.stream.device

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, rows: Tensor) -> Tensor:
        span = torch.arange(self.context + 1, device=self.stream.device)
        return self.stream[self.starts[rows, None] + span]

    def take(self, rows: Tensor) -> Pair:
        return following(self.select(rows))

    def hint(self, order: Iterable[Tensor]) -> None:
        pass


def following(tokens: Tensor) -> Pair:
    """Of rows (n, context + 1) all tokens but the last, and all but the first as their targets."""
    tokens = tokens.long()
    return tokens[:, :-1], tokens[:, 1:]


def read(path: Path, options: Options) -> Raw:
    """The text of a file, or of all .txt files of a folder in the order of their names; raises DataError.

    Tokens are bytes as they will be learned from, or the code points of characters, which `parts` numbers,
    in the smallest type that holds them.
    """
    files = sorted(filter(Path.is_file, path.rglob("*.txt"))) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: must hold .txt files, but holds none")
    pieces = _bytes if options.tokenizer == "bytes" else _points
    tokens = np.concatenate([piece for file in files for piece in pieces(file)] or [np.empty(0, np.uint8)])
    if not len(tokens):
        raise DataError(f"{path}: must hold text, but is empty")
    return Raw(
        task="sequence",
        target="tokens",
        labels=np.broadcast_to(np.int64(0), len(tokens)),
        digest=digest(tokens),
        tokens=tokens,
        vocabulary=BYTES if options.tokenizer == "bytes" else 0,
        about={"tokenizer": options.tokenizer},
    )


def _bytes(file: Path) -> Iterator[Tokens]:
    """A file's bytes as tokens, from 1 to 256."""
    for data in _chunks(file):
        yield np.frombuffer(data, np.uint8) + np.int16(1)


def _points(file: Path) -> Iterator[Tokens]:
    """The code points of a file's characters."""
    decoder, done = codecs.getincrementaldecoder("utf-8")(), 0
    for data in _chunks(file):
        held = len(decoder.getstate()[0])  # of a character that the last piece has begun
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = done - held + error.start
            raise DataError(
                f"{file}: must be UTF-8, unless `tokenizer` is bytes, "
                f"but byte {place} is {error.object[error.start]:#04x}"
            ) from None
        done += len(data)
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        yield points.astype(np.min_scalar_type(points.max(initial=0)))


def _chunks(file: Path) -> Iterator[bytes]:
    """A file in pieces, the last of which is empty."""
    with file.open("rb") as opened:
        while data := opened.read(CHUNK):
            yield data
    yield b""


def parts(raw: Raw, split: Split | Cut, options: Options, device: torch.device, final: bool) -> TokenParts:
    """The rows of each part; raises DataError when one is too short.

    A stream is cut into windows of `context` tokens that do not overlap, their targets in the same part; rows
    come as they are, with their labels or next tokens. Characters are numbered by those of training alone;
    others become token 0.
    """
    assert raw.tokens is not None
    places = [split.val, split.test if final else split.test[:0], split.train]
    context = options.context if raw.tokens.ndim == 1 else raw.tokens.shape[1] - (raw.target == "tokens")
    tokens, vocabulary, encoding = _encoded(raw, split.train)
    kept, room = tensor(tokens), Room(options.resident, device)
    if raw.target == "tokens":
        starts = [_starts(part, context, raw.tokens.ndim) for part in places]
        val, test, train = _windows(kept.flatten(), starts, context, room, device)
    else:
        labels = torch.from_numpy(raw.labels)
        val, test, train = (_labelled(kept, labels, part, room, device) for part in places)
    for name, found, part in (("training", train, split.train), ("validation", val, split.val)):
        if not len(found):
            raise DataError(
                f"{options.data}: {count(part)} tokens are for {name}, "
                f"but a row needs {context} (see `context`) and the one after it"
            )
    return TokenParts(train, val, test if len(test) else None, vocabulary, context, encoding)


def _windows(
    stream: Tensor, starts: Sequence[NDArray[np.int64]], context: int, room: Room, device: torch.device
) -> list[Rows]:
    """Windows of one stream, which lies on the device as a whole or not at all."""
    windows = [Windows(stream, torch.from_numpy(part), context) for part in starts]
    if not room.takes(stream.nbytes + sum(part.nbytes for part in starts)):
        return [Streamed([part], following, device) for part in windows]
    stream = stream.to(device)
    return [Windows(stream, part.starts.to(device), context) for part in windows]


def _labelled(
    tokens: Tensor, labels: Tensor, places: Places | Runs, room: Room, device: torch.device
) -> Rows:
    """Rows of tokens with a label each."""
    rows = torch.from_numpy(np.asarray(places))
    good = 8 * (tokens.shape[1] + 1) * len(rows)
    return laid([Held(tokens, rows), Held(labels, rows)], pair(Tensor.long), good, room, device)


def _encoded(raw: Raw, training: Places | Runs) -> tuple[Tokens, int, dict[str, Any]]:
    """Tokens, as small as they can be held, how many there can be, and what `encode` needs to make them."""
    assert raw.tokens is not None
    encoding: dict[str, Any] = {"tokenizer": raw.about.get("tokenizer", "none")}
    if encoding["tokenizer"] != "chars":
        return raw.tokens.astype(smallest(raw.vocabulary), copy=False), raw.vocabulary, encoding
    known = _characters(raw.tokens, training)
    encoding["characters"] = "".join(map(chr, known))
    return numbered(raw.tokens, encoding), len(known) + 1, encoding


def _characters(points: Tokens, training: Places | Runs) -> Places:
    """The code points that occur at some places, rising."""
    seen = np.zeros(POINTS, bool)
    for start, stop in _runs(training):
        for place in range(start, stop, CHUNK):
            seen[points[place : min(place + CHUNK, stop)]] = True
    return np.flatnonzero(seen)


def numbered(points: Tokens, encoding: Mapping[str, Any]) -> Tokens:
    """The tokens of characters' code points, as `encode` gives them."""
    known = np.array([ord(character) for character in encoding["characters"]], np.int64)
    table: Tokens = np.zeros(POINTS, smallest(len(known) + 1))
    table[known] = np.arange(1, len(known) + 1)
    tokens: Tokens = np.empty(len(points), table.dtype)
    for place in range(0, len(points), CHUNK):  # whole, their numbers would need eight bytes each
        tokens[place : place + CHUNK] = table[points[place : place + CHUNK]]
    return tokens


def _starts(places: Places | Runs, context: int, dimensions: int) -> Places:
    """Where windows begin in each run of places; after the last one there is a token more, for its target."""
    if dimensions == 2:
        return np.asarray(places) * (context + 1)
    runs = (
        np.arange(start, start + max(stop - start - 1, 0) // context * context, context)
        for start, stop in _runs(places)
    )
    return np.concatenate([*runs] or [np.empty(0, np.int64)])


def _runs(places: Places | Runs) -> list[tuple[int, int]]:
    """Where runs of neighbours begin and end."""
    if isinstance(places, tuple):
        return [(run.start, run.stop) for run in places]
    runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]


def count(places: Places | Runs) -> int:
    return sum(stop - start for start, stop in _runs(places))


def encode(text: str, encoding: Mapping[str, Any]) -> list[int]:
    """The tokens of a text; of a source without a tokenizer they stand in it as numbers between spaces."""
    match encoding["tokenizer"]:
        case "chars":
            token = {character: number for number, character in enumerate(encoding["characters"], 1)}
            return [token.get(character, 0) for character in text]
        case "bytes":
            return [byte + 1 for byte in text.encode()]
    return [int(word) for word in text.split()]


def decode(tokens: Iterable[int], encoding: Mapping[str, Any]) -> str:
    """The text of tokens."""
    match encoding["tokenizer"]:
        case "chars":
            return "".join((UNKNOWN + encoding["characters"])[token] for token in tokens)
        case "bytes":
            return bytes(token - 1 for token in tokens if token).decode(errors="replace")
    return " ".join(map(str, tokens))
