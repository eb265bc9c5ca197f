"""Training, top to bottom: data, model, the loop over epochs and steps, and how it ends."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from hypersweep_trainer import automatic, check, compiler, model, saved, stage
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
from hypersweep_trainer.order import batches
from hypersweep_trainer.outage import answer
from hypersweep_trainer.output import Output
from hypersweep_trainer.prelude import Prelude
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.result import Outcome
from hypersweep_trainer.stop import Look, unasked


def train(
    config: Config, ranks: Ranks, output: Output, checkpoints: Checkpoints, should_stop: Callable[[], bool]
) -> Outcome:
    """Train one configuration to its end, its divergence, or the step at which it is asked to stop.

    Raises Stopped on all ranks where one was asked to stop before the first step.
    """
    tune(config.options)
    output.say(f"{ranks.world} {'rank' if ranks.world == 1 else 'ranks'} on {_name(ranks.device)}")
    prelude = Prelude(ranks, should_stop)
    with refused():
        data = prelude.each(lambda: answer(lambda: load(config, ranks.device), prelude.look))
    for words in data.notes:
        output.say(words)
    config = config.told(data.facts)
    output.settle(config)
    output.describe(**facts(config, data, ranks))
    with refused():
        build = partial(built, data=data, device=ranks.device, look=prelude.look)
        config = automatic.settle(config, data, prelude, checkpoints, output, build)
        network = prelude.each(partial(build, config, say=output.say))
    pace = len(batches(config, len(data.train), network, ranks.world))
    state = prelude.read(lambda: checkpoints.newest(identity(config, data, pace)))
    verdicts = checked(config, data, network, prelude)
    output.check(verdicts)
    for words in filter(None, [check.failed(verdicts)]):
        output.say(f"check failed: {words}")
        if config.options.checks == "stop" and config.thorough:
            return Outcome(config, "infeasible", reason=f"a check failed: {words}", checks=verdicts)
    first: Outcome | None = None
    if state is None:
        first = stage.first(config, data, prelude, output, checkpoints, should_stop, network)
        if first is not None and first.status != "done":
            return replace(first, checks=verdicts)
    with refused():
        start = check.start_of(config, data, verdicts, ranks.device)
        loop = Loop(config, data, ranks, network, output, checkpoints, should_stop, first_loss=start)
    if state is not None:
        loop.restore(read(state))
    elif first is not None:
        loop.resumed = first.resumed_from
    compiler.ready(config, data, loop.learner, prelude, output, (data.val, data.test))
    outcome = loop.run()
    if outcome.status != "stopped":
        with compiler.spared(config.options.compile):
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
    torch.backends.cudnn.allow_tf32 = options.tf32  # convolutions round by default
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if (
        torch.are_deterministic_algorithms_enabled() != options.deterministic
    ):  # asking costs nothing, saying a second
        torch.use_deterministic_algorithms(options.deterministic)
    torch.backends.cudnn.benchmark = False
    if options.compile != "off":
        compiler.begin(options.compile)


def checked(config: Config, data: Data, network: nn.Module, prelude: Prelude) -> check.Verdicts:
    """What rank 0 says of it, for all must agree on whether to go on."""

    def verdicts() -> bytes:
        return json.dumps(check.before(config, data, network, prelude.ranks.device, prelude.look)).encode()

    found: check.Verdicts = json.loads(prelude.spread(verdicts) or b"{}")
    return found


def built(
    config: Config,
    data: Data,
    device: torch.device,
    look: Look = unasked,
    say: Callable[[str], None] = lambda line: None,
) -> model.Network:
    """The network of a configuration with its first weights, on the device; `say` is told which are new."""
    options = config.options
    torch.default_generator.manual_seed(draw(config.seed, "model"))
    network = model.build(options, data.form)
    if options.pretrained:
        anew = _adopted(config, data, network, look, say)
    else:  # a first stage trains the body alone
        anew = {name: "not there" for name in transfer.tensors(network) if name.startswith("head.")}
    if options.sync_bn:
        synchronise(network, device)
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network = network.to(device)
    if options.compile != "off":
        compiler.compiled(network, options.compile)
    if options.freeze:
        transfer.freeze(network, options.freeze, anew)
    return network


def _adopted(
    config: Config, data: Data, network: model.Network, look: Look, say: Callable[[str], None]
) -> Mapping[str, str]:
    """Which tensors start anew although the network is a trained one, and why."""
    options = config.options
    if options.pretrained == "true":
        return transfer.replaced(network, data.form, say)
    url = config.pretrained or options.pretrained
    read = transfer.folder(url, config.stores)
    return transfer.pretrained(
        replace(options, pretrained=url), network, lambda name: answer(partial(read, name), look),
        data.form, data.encoding, say,
    )  # fmt: skip


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
