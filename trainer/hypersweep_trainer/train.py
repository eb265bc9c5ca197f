"""Training, top to bottom: data, model, the loop over epochs and steps, and how it ends."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from hypersweep_trainer import automatic, check, model, saved, stage
from hypersweep_trainer.checkpoint import Checkpoints, read
from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data, load
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.learner import identity
from hypersweep_trainer.loop import Loop
from hypersweep_trainer.model import transfer
from hypersweep_trainer.model.sync import synchronise
from hypersweep_trainer.options import Options
from hypersweep_trainer.output import Output
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.result import Outcome


def train(
    config: Config, ranks: Ranks, output: Output, checkpoints: Checkpoints, should_stop: Callable[[], bool]
) -> Outcome:
    """Train one configuration to its end, its divergence, or the step at which it is asked to stop."""
    tune(config.options)
    with refused():
        data = load(config, ranks.device)
    config = config.told(data.facts)
    output.describe(**facts(config, data, ranks))
    with refused():
        build = partial(built, data=data, device=ranks.device)
        config = automatic.settle(config, data, ranks, checkpoints, output, build)
    state = ranks.spread(checkpoints.newest(identity(config, data)))
    with refused():
        network = built(config, data, ranks.device)
    said = ranks.spread(json.dumps(check.before(config, data, network, ranks.device)).encode())
    verdicts = json.loads(said or b"{}")  # rank 0's, for all must agree on whether to go on
    for words in filter(None, [check.failed(verdicts)]):
        output.say(f"check failed: {words}")
        if config.options.checks == "stop" and config.thorough:
            return Outcome(config, "infeasible", reason=f"a check failed: {words}", checks=verdicts)
    if state is None:
        first = stage.first(config, data, ranks, output, checkpoints, should_stop, network)
        if first is not None:
            return replace(first, checks=verdicts)
    with refused():
        start = check.start_of(config, data, verdicts, ranks.device)
        loop = Loop(config, data, ranks, network, output, checkpoints, should_stop, first_loss=start)
    if state is not None:
        loop.restore(read(state))
    outcome = loop.run()
    if outcome.status != "stopped":
        later = check.after(config, data, loop.learner.network, outcome, ranks.device)
        outcome = replace(outcome, checks={**verdicts, **later})
    if outcome.status == "done" and config.options.save_model and ranks.rank == 0:
        outcome = replace(outcome, model=saved.files(config, data, loop.learner.network))
    return outcome


@contextmanager
def refused() -> Iterator[None]:
    """What data or a network say of a configuration that cannot be, in the configuration's name."""
    try:
        yield
    except (DataError, ValueError) as error:
        raise ConfigError(str(error)) from error


def tune(options: Options) -> None:
    """What holds for the whole process; set anew for each trial, since a process may run many."""
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if (
        torch.are_deterministic_algorithms_enabled() != options.deterministic
    ):  # asking costs nothing, saying a second
        torch.use_deterministic_algorithms(options.deterministic)
    torch.backends.cudnn.benchmark = False
    if options.compile != "off":
        torch._dynamo.reset()  # a process that ran other networks would compile no more


def built(config: Config, data: Data, device: torch.device) -> model.Network:
    """The network of a configuration with its first weights, on the device."""
    options = config.options
    torch.default_generator.manual_seed(draw(config.seed, "model"))
    network = model.build(options, data.form)
    if options.pretrained not in ("", "true"):
        url = config.pretrained or options.pretrained
        names = data.encoding.get("names", ())
        transfer.pretrained(
            replace(options, pretrained=url), network, transfer.folder(url, config.stores), names
        )
    if options.sync_bn:
        synchronise(network, device)
    if options.freeze:
        transfer.freeze(network, options.freeze)
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network = network.to(device)
    if options.compile != "off":
        network.compile(mode=None if options.compile == "default" else options.compile)
    return network


def facts(config: Config, data: Data, ranks: Ranks) -> Mapping[str, Any]:
    """What the run stands on, for `environment.json`."""
    return {
        "torch": torch.__version__,
        "device": _name(ranks.device),
        "ranks": ranks.world,
        "rows": len(data.train),
        "data": data.digest,
        "split": data.split_digest,
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
