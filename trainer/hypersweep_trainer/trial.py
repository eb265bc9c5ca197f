"""One trial in this process, from environment to exit code; torch is imported once all else is well."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from hypersweep import contract
from hypersweep.store import Store, StoreError, StoreRefused, open_store, sub
from hypersweep_trainer.config import Config, ConfigError, Place, termination_log
from hypersweep_trainer.memory import exhausted
from hypersweep_trainer.outage import answer
from hypersweep_trainer.output import Report, Silence
from hypersweep_trainer.stop import Look, Stopped, looking
from hypersweep_trainer.writer import Writer

LAST = 0.2  # seconds that a thread has to end which is done
EXHAUSTED = "out of memory: "
LOG = logging.getLogger("hypersweep_trainer")


class Failed(Exception):
    """A run that an error ended, in the words of the rank that failed first."""


def run(env: Mapping[str, str], should_stop: Callable[[], bool]) -> int:
    """Train what `env` asks for and return the exit code; never raises, and leaves os.environ alone."""
    message, writer = termination_log(env), Writer(_warn, should_stop)
    try:
        config, place = Config.read(env), Place.read(env)
        stores = attempts(env, config.attempt) if place.rank == 0 else []
        probe(stores, config.pod, looking(should_stop))
    except (ConfigError, StoreError, Stopped) as error:
        _warn(str(error))
        Report(None, writer, message).fail(str(error))
        return code(error)
    report = Report(stores[-1] if stores else None, writer, message) if place.rank == 0 else Silence()
    try:
        return _trained(config, place, stores, writer, report, should_stop)
    except (ConfigError, StoreRefused, Stopped) as error:  # data or network are not what the options say
        told = Report(None, writer, message) if place.node else report  # another node's pod may end first
        told.say(str(error))
        told.fail(str(error), None if isinstance(error, Stopped) else config)
        return code(error)
    except (Exception, SystemExit) as error:  # a user's own code may ask for an end
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
    from hypersweep_trainer.data.raw import DataError
    from hypersweep_trainer.rank import join
    from hypersweep_trainer.train import train

    ranks = join(place, looking(should_stop))
    ranks.listen(lambda word: give_up(report, config, word))
    checkpoints = Checkpoints(stores, config.pod, writer)
    try:
        outcome = train(config, ranks, report, checkpoints, should_stop)
    except Stopped:
        raise
    except (ConfigError, StoreRefused, DataError) as error:  # maybe on this rank alone, of its node's files
        ranks.tell(str(error))
        if isinstance(error, DataError):  # of rows that are read when a batch wants them
            raise ConfigError(str(error)) from error
        raise
    except (Exception, SystemExit) as error:
        ranks.tell(
            EXHAUSTED + str(error).partition("\n")[0] if exhausted(error) else described(place.rank, error)
        )
        word = ranks.heard() or described(place.rank, error)
        if not word.startswith(EXHAUSTED):
            raise Failed(word) from error
        outcome = report.cut_short(config, "infeasible", word)
    else:
        ranks.leave()  # before the last writes, which may take a while
    found = report.finish(outcome, lambda: checkpoints.kept or outcome.resumed_from is not None)
    # A store that is away took no result in a pod's grace: the next attempt comes to it again.
    return contract.EXIT_STOPPED if found == contract.EXIT_ERROR and should_stop() else found


def give_up(report: Report | Silence, config: Config, word: str) -> None:
    """End this process for another rank's failure, which it has not noticed: it may wait for that rank."""
    if word.startswith(EXHAUSTED):
        os._exit(report.finish(report.cut_short(config, "infeasible", word)))
    report.fail(word, config)
    os._exit(contract.EXIT_ERROR)


def code(error: Exception) -> int:
    """How a process ends that this error ended: what may go better another time is not refused for ever."""
    match error:
        case Stopped():
            return contract.EXIT_STOPPED
        case ConfigError() | StoreRefused():
            return contract.EXIT_CONFIG
    return contract.EXIT_ERROR


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def described(rank: int, error: BaseException) -> str:
    """What ended a rank, in words."""
    if isinstance(error, SystemExit):
        code = error.code
        how = f" with code {code or 0}" if code is None or isinstance(code, int) else f": {code}"
        return f"rank {rank}: asked to exit{how}"
    return f"rank {rank}: {type(error).__name__}: {error}"


def warm() -> None:
    """Import what a first trial would, so that its time is training's."""
    import_module("hypersweep_trainer.train")


def idle() -> bool:
    """Whether nothing that a trial began goes on after it: a question to a store, or a write."""
    begun = [thread for thread in threading.enumerate() if thread.name.startswith(("aside", "writer"))]
    for thread in begun:
        thread.join(LAST)
    return not any(thread.is_alive() for thread in begun)


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


def probe(stores: Sequence[Store], pod: str, look: Look) -> None:
    """Return once the last of the stores took a write: no hour is spent on what cannot be kept."""
    if stores:
        answer(lambda: stores[-1].write(contract.PROBE, pod.encode()), look)
