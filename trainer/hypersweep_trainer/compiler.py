"""Networks that torch compiles: what is set for them, and the passes that compile them before any step."""

import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

from hypersweep_trainer import metric
from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.data import Data
from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.model import transfer
from hypersweep_trainer.order import batches
from hypersweep_trainer.output import Output
from hypersweep_trainer.prelude import Prelude
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.stop import Look, unasked

GRAPHS = ("reduce-overhead", "max-autotune")  # modes that record CUDA graphs, too
SIZES = 64  # of batches, for training and evaluation, before torch would compile no more
MISSING = re.compile(r"(No working C\+\+ compiler|Failed to find C compiler).*")  # torch's words, triton's
BROKEN = re.compile(r"(/\S+\.so): (file too short|invalid ELF header)")  # left by a compiler that was killed


def begin(how: str) -> None:
    """Set what holds for the whole process; anew for each trial that compiles."""
    torch._dynamo.reset()  # a process that ran other networks would compile no more
    torch._dynamo.config.recompile_limit = SIZES
    # Cut at DDP's buckets, a network is recorded over and over (pytorch/pytorch#140395).
    torch._dynamo.config.optimize_ddp = how not in GRAPHS


def compiled(network: nn.Module, how: str) -> None:
    """Let torch compile the passes of a network at the first batch of each size; weights keep their names.

    Call it once the network is on its device, and before some of it is frozen.
    """
    # For one size alone, whatever came before it: a resumed run computes as an undisturbed one.
    network.compile(mode=None if how == "default" else how, dynamic=False)
    if how not in GRAPHS:
        return
    for weight in network.parameters():  # the next replay of a graph writes over the gradients that it gave
        if weight.requires_grad:
            weight.register_hook(torch.clone)  # type: ignore[no-untyped-call]


def spared(how: str) -> AbstractContextManager[None]:
    """Where networks run as they are: compiling for one pass takes longer than it does."""
    return nullcontext() if how == "off" else torch.compiler.set_stance("force_eager")


def ready(
    config: Config,
    data: Data,
    learner: Learner,
    prelude: Prelude,
    output: Output,
    parts: Sequence[Rows | None] = (),
) -> None:
    """Compile for batches of each size, of training and of the `parts` that are evaluated.

    Each rank does so in its own time: at a step the others would take it for hung. Raises Stopped on all
    ranks where one was asked to stop, and ConfigError where there is nothing to compile with.
    """
    options, ranks, began = config.options, prelude.ranks, time.monotonic()
    if options.compile == "off":
        return
    # Those that share a batch norm meet in each pass: none leaves the others there.
    look = unasked if options.sync_bn else prelude.look

    def work() -> None:
        try:
            _passes(config, data, learner, ranks, look, parts)
        except RuntimeError as error:
            prelude.look()  # a signal to a whole group of processes ends compilers, too
            if _removed(error):
                work()
            elif found := MISSING.search(str(error)):
                words = "needs a C++ compiler where training runs, on a GPU one of C"
                raise ConfigError(f"compile: {options.compile} {words}, but: {found[0]}") from error
            else:
                raise

    prelude.each(work)
    output.say(f"compiled in {time.monotonic() - began:.0f} s")


def _removed(error: RuntimeError) -> bool:
    """Whether torch keeps code that was never written to its end, which is gone now."""
    if (found := BROKEN.search(str(error))) is None:
        return False
    Path(found[1]).unlink(missing_ok=True)  # another rank may have been faster
    return True


def _passes(
    config: Config, data: Data, learner: Learner, ranks: Ranks, look: Look, parts: Sequence[Rows | None]
) -> None:
    """Those of the network as it is, and as it will be once it is thawed."""
    network, options = learner.network, config.options

    def all_of_them() -> None:
        _steps(config, data, learner, ranks, look)
        for part in [part for part in parts if part is not None]:
            _evaluate(network, part, metric.size(data.form), ranks, look)

    all_of_them()
    if options.unfreeze_epoch and not all(weight.requires_grad for weight in network.parameters()):
        transfer.thaw(network)
        all_of_them()
        transfer.freeze(network, options.freeze)


def _steps(config: Config, data: Data, learner: Learner, ranks: Ranks, look: Look) -> None:
    """One for each size that a batch of an epoch has, in the same order on all ranks."""
    for size in dict.fromkeys(map(len, batches(config, len(data.train), learner.network, ranks.world))):
        look()
        share = ranks.share(size)
        learner.rehearse(torch.arange(size, device=data.train.device), slice(share.start, share.stop))


@torch.no_grad()
def _evaluate(network: nn.Module, part: Rows, size: int, ranks: Ranks, look: Look) -> None:
    """Outputs for one batch of each size in which a part is evaluated."""
    rows = torch.arange(len(ranks.share(len(part))), device=part.device)
    with metric.evaluating(network):
        for batch in {len(batch): batch for batch in torch.split(rows, size) if len(batch)}.values():
            look()
            network(part.take(batch)[0])
