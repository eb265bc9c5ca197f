"""One trial in this process, from environment to exit code; torch is imported once all else is well."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from hypersweep import contract
from hypersweep.store import Store, StoreError, StoreRefused, open_store, sub
from hypersweep_trainer.config import Config, ConfigError, Place, termination_log
from hypersweep_trainer.memory import exhausted
from hypersweep_trainer.output import Report, Silence
from hypersweep_trainer.result import Outcome
from hypersweep_trainer.writer import Writer

PATIENCE = 30.0  # seconds that the first write waits for a store that may come back
NOTICE = 5.0  # seconds in which a rank notices by itself that another one has failed
EXHAUSTED = "out of memory: "
LOG = logging.getLogger("hypersweep_trainer")


class Failed(Exception):
    """A run that an error ended, in the words of the rank that failed first."""


def run(env: Mapping[str, str], should_stop: Callable[[], bool]) -> int:
    """Train what `env` asks for and return the exit code; never raises, and leaves os.environ alone."""
    message = termination_log(env)
    try:
        config, place = Config.read(env), Place.read(env)
        stores = probed(attempts(env, config.attempt), config.pod) if place.rank == 0 else []
    except (ConfigError, StoreError) as error:
        print(error, file=sys.stderr, flush=True)
        Report(None, Writer(print), message).fail(str(error))
        return contract.EXIT_CONFIG
    writer = Writer(lambda line: print(line, file=sys.stderr, flush=True))
    report = Report(stores[-1] if stores else None, writer, message) if place.rank == 0 else Silence()
    try:
        return _trained(config, place, stores, writer, report, should_stop)
    except ConfigError as error:  # the data, or the network, is not what the options say
        report.say(str(error))
        report.fail(str(error), config)
        return contract.EXIT_CONFIG
    except Exception as error:
        LOG.exception("rank %d failed", place.rank)
        report.fail(str(error) if isinstance(error, Failed) else described(place.rank, error), config)
        return contract.EXIT_ERROR
    finally:
        writer.close()


def _trained(
    config: Config,
    place: Place,
    stores: Sequence[Store],
    writer: Writer,
    report: Report | Silence,
    should_stop: Callable[[], bool],
) -> int:
    from hypersweep_trainer.checkpoint import Checkpoints
    from hypersweep_trainer.rank import join
    from hypersweep_trainer.train import train

    ranks = join(place)
    ranks.listen(lambda word: give_up(report, config, word))
    try:
        outcome = train(config, ranks, report, Checkpoints(stores, config.pod, writer), should_stop)
    except ConfigError:
        raise
    except Exception as error:
        ranks.tell(
            EXHAUSTED + str(error).partition("\n")[0] if exhausted(error) else described(place.rank, error)
        )
        word = ranks.heard() or described(place.rank, error)
        if not word.startswith(EXHAUSTED):
            raise Failed(word) from error
        return report.finish(Outcome(config, "infeasible", reason=word))
    ranks.leave()  # before the last writes, which may take a while
    return report.finish(outcome)


def give_up(report: Report | Silence, config: Config, word: str) -> None:
    """End this process for another rank's failure, unless it notices by itself: it may wait for that rank."""
    time.sleep(NOTICE)
    if word.startswith(EXHAUSTED):
        os._exit(report.finish(Outcome(config, "infeasible", reason=word)))
    report.fail(word, config)
    os._exit(contract.EXIT_ERROR)


def described(rank: int, error: Exception) -> str:
    return f"rank {rank}: {type(error).__name__}: {error}"


def warm() -> None:
    """Import what a first trial would, so that its time is training's."""
    import_module("hypersweep_trainer.train")


def attempts(env: Mapping[str, str], attempt: int) -> list[Store]:
    """The stores of this trial's attempts so far, the running one last; none when there is no store."""
    url = env.get(contract.ENV_STORE, "").rstrip("/")
    if not url:
        return []
    endpoint, region = (
        env.get(name) or None for name in (contract.ENV_STORE_ENDPOINT, contract.ENV_STORE_REGION)
    )
    parent, _, own = url.rpartition("/")
    if own != str(attempt):
        return [open_store(url, endpoint=endpoint, region=region)]
    trial = open_store(parent, endpoint=endpoint, region=region)
    return [sub(trial, str(number)) for number in range(attempt + 1)]


def probed(stores: list[Store], pod: str) -> list[Store]:
    """The stores themselves, once the last one took a write: no hour is spent on what cannot be kept."""
    deadline, pause = time.monotonic() + PATIENCE, 0.5
    while stores:
        try:
            stores[-1].write(contract.PROBE, pod.encode())
            break
        except StoreError as error:
            if isinstance(error, StoreRefused) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
    return stores
