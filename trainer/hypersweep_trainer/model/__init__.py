"""Networks by the options: fully connected, convolutional, transformers, other people's."""

from hypersweep_trainer.form import Form
from hypersweep_trainer.model.conv import conv
from hypersweep_trainer.model.level import levels
from hypersweep_trainer.model.library import library
from hypersweep_trainer.model.mlp import mlp
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.model.transformer import transformer
from hypersweep_trainer.options import Options

__all__ = ["Network", "build", "levels"]


def build(options: Options, form: Form) -> Network:
    """The network of a configuration, on the CPU, with first weights from torch's default generator.

    Raises ValueError, in a sentence that begins with an option's name, where a network cannot be built so.
    """
    match options.model:
        case "mlp":
            return mlp(options, form)
        case "cnn":
            return conv(options, form)
        case "transformer":
            return transformer(options, form)
    return library(options, form)
