"""The first stage of a run: the network learns from the inputs alone, then hands its body on."""

from collections.abc import Callable
from dataclasses import replace

import torch

from hypersweep_trainer import compiler
from hypersweep_trainer.checkpoint import Checkpoints, read
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.loop import Loop
from hypersweep_trainer.model import Network, pretrain
from hypersweep_trainer.model.sync import synchronise
from hypersweep_trainer.output import Output
from hypersweep_trainer.prelude import Prelude
from hypersweep_trainer.result import Outcome

OFF = {
    "patience": 0,
    "restore_best": False,
    "ema": 0.0,
    "unfreeze_epoch": 0,
    "log_steps": 0,
    "sampling": "all",
    "noise_scale": False,
}


def first(
    config: Config,
    data: Data,
    prelude: Prelude,
    output: Output,
    checkpoints: Checkpoints,
    should_stop: Callable[[], bool],
    network: Network,
) -> Outcome | None:
    """Run the stage that `pretrain` names, if any, and give `network` what it learned.

    An outcome other than `done` ends the run: it was asked to stop, or its loss was not finite. Raises
    Stopped when that was before its first step.
    """
    options, ranks = config.options, prelude.ranks
    if options.pretrain == "none":
        return None
    torch.default_generator.manual_seed(draw(config.seed, "first stage"))
    stage = pretrain.stage(options, data.form, data.finish, ranks.device)
    if options.sync_bn:
        synchronise(stage.network, ranks.device)
    body = stage.network.to(ranks.device)
    if options.compile != "off":
        compiler.compiled(body, options.compile)
    before = config.changed(epochs=options.pretrain_epochs, **OFF)
    data = replace(data, train=data.unlabelled)
    loop = Loop(before, data, ranks, body, output, checkpoints, should_stop, stage)
    saved = prelude.read(lambda: checkpoints.newest(loop.learner.identity))
    if saved is not None:
        loop.restore(read(saved))
    compiler.ready(before, data, loop.learner, prelude, output)
    outcome = loop.run()
    if outcome.status == "done":
        pretrain.second(network, loop.learner.network)
    return outcome
