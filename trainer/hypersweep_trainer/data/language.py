"""Generated sequences of tokens: a Markov chain whose entropy is known, and brackets that match or do not."""

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.counter import draw
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import Raw
from hypersweep_trainer.options import Options

SYMBOLS = 27  # of the chain; token 0 stands for none of them, so symbol k is token k + 1
REACH = 7.5  # at a noise of 1, steps so many times as long are e times as rare
KINDS = 2  # of brackets: tokens 1 and 2 open, 3 and 4 close, 0 fills an odd row
WRONG = 20.0  # labels of brackets are wrong with a probability of the noise over this
TRIES = 20

Tokens = NDArray[np.int64]


def markov(options: Options, random: np.random.Generator) -> Raw:
    """A stream of synthetic_rows * context + 1 tokens from `chain`.

    Symbols stand on a ring in an order of their own, and each step along it is drawn for itself: that makes
    a chain of order 1 whose states are equally frequent, and of which many steps are drawn at once.
    """
    count = options.synthetic_rows * options.context + 1
    steps = random.choice(SYMBOLS, count, p=_steps(options.synthetic_noise))
    stream = _ring(options)[np.cumsum(steps) % SYMBOLS] + 1
    labels = np.zeros(count, np.int64)
    return Raw("sequence", "tokens", labels, digest(stream), tokens=stream, vocabulary=SYMBOLS + 1)


def chain(options: Options) -> NDArray[np.float64]:
    """Of the Markov chain: the probability that symbol `column` follows symbol `row`, (27, 27)."""
    ring, steps = _ring(options), _steps(options.synthetic_noise)
    transition = np.empty((SYMBOLS, SYMBOLS))
    for step, probability in enumerate(steps):
        transition[ring, np.roll(ring, -step)] = probability
    return transition


def entropy_rate(transition: NDArray[np.float64]) -> float:
    """Nats per symbol of a chain: no prediction can have a lower loss (Shannon 1948, theorem 5)."""
    size = len(transition)
    balance = np.vstack([transition.T - np.eye(size), np.ones(size)])
    stationary = np.linalg.lstsq(balance, np.append(np.zeros(size), 1.0))[0]
    logs = np.log(transition, out=np.zeros_like(transition), where=transition > 0)
    return 0.0 - float(stationary @ (transition * logs).sum(1))


def _ring(options: Options) -> Tokens:
    return np.random.default_rng(draw("ring", options.synthetic_seed)).permutation(SYMBOLS)


def _steps(noise: float) -> NDArray[np.float64]:
    """How probable each step along the ring is, from 0 to 26: without noise it is always 1."""
    length = (np.arange(SYMBOLS) - 1) % SYMBOLS
    weight = np.exp(-length / (REACH * noise)) if noise else (length == 0).astype(np.float64)
    share: NDArray[np.float64] = weight / weight.sum()
    return share


def brackets(options: Options, random: np.random.Generator) -> Raw:
    """Rows of brackets of two kinds (n, context), half of them balanced (Chomsky and Schützenberger 1963).

    The others are balanced rows in which two brackets changed places: counting tells nothing.
    """
    count, length = options.synthetic_rows, options.context // 2 * 2
    tokens = np.zeros((count, options.context), np.int64)
    tokens[:, :length] = _words(count, length, random)
    labels = random.permutation(np.arange(count) % 2)
    broken = tokens[labels == 0, :length]
    tokens[labels == 0, :length] = _broken(broken, random)
    labels = labels ^ (random.random(count) < options.synthetic_noise / WRONG)
    names = ("broken", "balanced")
    total = digest(tokens, labels)
    return Raw("sequence", "classification", labels, total, names, tokens=tokens, vocabulary=2 * KINDS + 1)


def _words(count: int, length: int, random: np.random.Generator) -> Tokens:
    """Balanced words (count, length): where a bracket may open or close, a fair coin decides."""
    words, stack = np.empty((count, length), np.int64), np.empty((count, length), np.int64)
    everyone, depth = np.arange(count), np.zeros(count, np.int64)
    for place in range(length):
        opens = (random.random(count) < 0.5) | (depth == 0)
        opens &= depth < length - place
        stack[everyone, depth] = np.where(opens, random.integers(1, KINDS + 1, count), stack[everyone, depth])
        depth += np.where(opens, 1, -1)
        kind = stack[everyone, depth - opens]
        words[:, place] = np.where(opens, kind, kind + KINDS)
    return words


def _broken(words: Tokens, random: np.random.Generator) -> Tokens:
    """The words with two brackets swapped so that none is balanced, at last the first one with the last."""
    words = words.copy()
    for attempt in range(TRIES + 1):
        whole = np.flatnonzero(balanced(words))
        places = random.integers(0, words.shape[1], (2, len(whole)))
        if attempt == TRIES:
            places[0], places[1] = 0, words.shape[1] - 1
        one, other = places
        words[whole, one], words[whole, other] = words[whole, other], words[whole, one]
    return words


def balanced(words: Tokens) -> NDArray[np.bool_]:
    """Whether each word (n, length) closes every bracket that it opens, in order."""
    everyone, depth, whole = np.arange(len(words)), np.zeros(len(words), np.int64), np.ones(len(words), bool)
    stack = np.zeros((len(words), words.shape[1] + 2), np.int64)
    for token in words.T:
        opens = (token > 0) & (token <= KINDS)
        closes = token > KINDS
        stack[everyone, depth + 1] = np.where(opens, token, stack[everyone, depth + 1])
        whole &= ~closes | (stack[everyone, depth] == token - KINDS)
        depth = np.maximum(depth + opens - closes, 0)
    whole &= depth == 0
    return whole
