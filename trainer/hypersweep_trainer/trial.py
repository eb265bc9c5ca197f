"""One trial in this process, from environment to exit code; torch is imported once all else is well."""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from hypersweep import contract
from hypersweep.store import Store, StoreError, StoreRefused, open_store, sub
from hypersweep_trainer.config import Config, ConfigError, Place, termination_log
from hypersweep_trainer.output import Report, Silence
from hypersweep_trainer.result import Outcome
from hypersweep_trainer.writer import Writer

PATIENCE = 30.0  # seconds that the first write waits for a store that may come back
LOG = logging.getLogger("hypersweep_trainer")


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
    except Exception as error:
        LOG.exception("rank %d failed", place.rank)
        report.fail(f"rank {place.rank}: {type(error).__name__}: {error}")
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
    try:
        outcome = train(config, ranks, report, Checkpoints(stores, config.pod, writer), should_stop)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = f"out of memory: {str(error).partition(chr(10))[0]}"
        return report.finish(Outcome("infeasible", 0, [], reason), config)
    ranks.leave()  # before the last writes, which may take a while
    return report.finish(outcome, config)


def out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed: on a GPU torch has a type for it, on the CPU a sentence."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def warm() -> None:
    """Import what a first trial would, so that its time is training's."""
    for name in ("sklearn.datasets", "hypersweep_trainer.train"):
        import_module(name)


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
