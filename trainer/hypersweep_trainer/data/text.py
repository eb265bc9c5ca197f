"""Text as tokens: read from files, made of characters or bytes, and cut into rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import DataError, Raw, Resident, Rows
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.options import Options

BYTES = 257  # tokens: what is hidden, and each byte
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

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        span = torch.arange(self.context + 1, device=self.stream.device)
        tokens = self.stream[self.starts[rows, None] + span].long()
        return tokens[:, :-1], tokens[:, 1:]

    def hint(self, order: Tensor) -> None:
        pass


def read(path: Path, options: Options) -> Raw:
    """The text of a file, or of all .txt files of a folder in the order of their names; raises DataError.

    Tokens are bytes as they will be learned from, or the code points of characters, which `parts` numbers.
    """
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: must hold .txt files, but holds none")
    content = [file.read_bytes() for file in files]
    if options.tokenizer == "bytes":
        tokens = np.frombuffer(b"".join(content), np.uint8).astype(np.int64) + 1
    else:
        tokens = np.concatenate([_points(file, data) for file, data in zip(files, content, strict=True)])
    if not len(tokens):
        raise DataError(f"{path}: must hold text, but is empty")
    return Raw(
        task="sequence",
        target="tokens",
        labels=np.zeros(len(tokens), np.int64),
        digest=digest(tokens),
        tokens=tokens,
        vocabulary=BYTES if options.tokenizer == "bytes" else 0,
        about={"tokenizer": options.tokenizer},
    )


def _points(file: Path, data: bytes) -> NDArray[np.int64]:
    """The code points of a file's characters."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: must be UTF-8, unless `tokenizer` is bytes, "
            f"but byte {error.start} is {data[error.start]:#04x}"
        ) from None
    return np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)


def parts(raw: Raw, split: Split, options: Options, device: torch.device, final: bool) -> TokenParts:
    """The rows of each part; raises DataError when one is too short.

    A stream is cut into windows of `context` tokens that do not overlap, their targets in the same part; rows
    come as they are, with their labels or next tokens. Characters are numbered by those of training alone;
    others become token 0.
    """
    tokens, vocabulary, encoding = _encoded(raw, split.train)
    rows = torch.from_numpy(tokens).to(device)
    context = options.context if rows.ndim == 1 else rows.shape[1] - (raw.target == "tokens")

    def part(places: NDArray[np.int64]) -> Rows:
        if rows.ndim == 1:
            return Windows(rows, torch.from_numpy(_starts(places, context)).to(device), context)
        chosen = torch.from_numpy(places).to(device)
        if raw.target == "tokens":
            return Windows(rows.flatten(), chosen * (context + 1), context)
        return Resident(rows[chosen].long(), torch.from_numpy(raw.labels).to(device)[chosen])

    train, val, test = part(split.train), part(split.val), part(split.test if final else split.test[:0])
    for name, found, places in (("training", train, split.train), ("validation", val, split.val)):
        if not len(found):
            raise DataError(
                f"{options.data}: {len(places)} tokens are for {name}, "
                f"but a row needs {context} (see `context`) and the one after it"
            )
    return TokenParts(train, val, test if len(test) else None, vocabulary, context, encoding)


def _encoded(
    raw: Raw, training: NDArray[np.int64]
) -> tuple[NDArray[np.signedinteger[Any]], int, dict[str, Any]]:
    """Tokens, as small as they can be held, how many there can be, and what `encode` needs to make them."""
    assert raw.tokens is not None
    tokens, vocabulary = raw.tokens, raw.vocabulary
    encoding: dict[str, Any] = {"tokenizer": raw.about.get("tokenizer", "none")}
    if encoding["tokenizer"] == "chars":
        known = np.unique(tokens[training])
        place = np.searchsorted(known, tokens).clip(max=len(known) - 1)
        tokens, vocabulary = np.where(known[place] == tokens, place + 1, 0), len(known) + 1
        encoding["characters"] = "".join(map(chr, known))
    return tokens.astype(np.int16 if vocabulary <= 1 << 15 else np.int32), vocabulary, encoding


def _starts(places: NDArray[np.int64], context: int) -> NDArray[np.int64]:
    """Where windows begin in each run of places; after the last one there is a token more, for its target."""
    runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
    return np.concatenate([run[: max(len(run) - 1, 0) // context * context : context] for run in runs])


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
