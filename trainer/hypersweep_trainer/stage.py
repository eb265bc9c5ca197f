"""The first stage of a run: the network learns from the inputs alone, then hands its body on."""

from collections.abc import Callable
from dataclasses import replace

import torch

from hypersweep_trainer.checkpoint import Checkpoints, read
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.loop import Loop
from hypersweep_trainer.model import Network, pretrain
from hypersweep_trainer.model.sync import synchronise
from hypersweep_trainer.output import Output
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.result import Outcome

OFF = {
    "patience": 0,
    "restore_best": False,
    "ema": 0.0,
    "unfreeze_epoch": 0,
    "log_steps": 0,
    "sampling": "all",
}


def first(
    config: Config,
    data: Data,
    ranks: Ranks,
    output: Output,
    checkpoints: Checkpoints,
    should_stop: Callable[[], bool],
    network: Network,
) -> Outcome | None:
    """Run the stage that `pretrain` names and give `network` what it learned.

    Returns an outcome where the stage ended the run: it was asked to stop, or its loss was not finite.
    """
    options = config.options
    if options.pretrain == "none":
        return None
    torch.default_generator.manual_seed(draw(config.seed, "first stage"))
    stage = pretrain.stage(options, data.form, data.finish, ranks.device)
    if options.sync_bn:
        synchronise(stage.network, ranks.device)
    before = config.changed(epochs=options.pretrain_epochs, **OFF)
    data = replace(data, train=data.unlabelled)
    loop = Loop(before, data, ranks, stage.network.to(ranks.device), output, checkpoints, should_stop, stage)
    saved = ranks.spread(checkpoints.newest(loop.learner.identity))
    if saved is not None:
        loop.restore(read(saved))
    outcome = loop.run()
    if outcome.status != "done":
        return outcome
    pretrain.second(network, loop.learner.network)
    return None
