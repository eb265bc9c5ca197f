"""What images undergo before the network sees them, each for itself."""

from collections.abc import Callable

from torch import Tensor

from hypersweep_trainer.augment.colour import jitter
from hypersweep_trainer.augment.draws import Alter, Draws, Take
from hypersweep_trainer.augment.geometry import moved, turned
from hypersweep_trainer.augment.rand import rand_augment
from hypersweep_trainer.augment.rectangle import erase
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options

Stage = Callable[[Tensor, Draws], Tensor]


def images(options: Options, form: Form, normalise: Callable[[Tensor], Tensor]) -> Alter:
    """Crops and movement, RandAugment, jitter, what the network wants of any image, erasing, in this order.

    What is to be rebuilt is the image before a part of it is erased.
    """
    stages = _stages(options)

    def alter(take: Take, rows: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        x, y = take(draws.mine(rows))
        for stage in stages:
            x = stage(x, draws)
        x = normalise(x)
        if form.target == "reconstruction":
            y = x
        return (erase(x, draws, options.erase), y) if options.erase else (x, y)

    return alter


def _stages(options: Options) -> list[Stage]:
    cut, degrees, zoom = options.random_resized_crop, options.rotate, options.zoom
    flip, upside, pad = options.flip, options.flip_vertical, options.crop_pad
    count, magnitude, deviation = options.rand_augment_n, options.rand_augment_m, options.rand_augment_std
    stages: list[Stage] = []
    if cut or degrees or zoom:
        stages.append(lambda x, draws: turned(x, draws, cut, degrees, zoom))
    if flip or upside or pad:
        stages.append(lambda x, draws: moved(x, draws, flip, upside, pad))
    if count:
        stages.append(lambda x, draws: rand_augment(x, draws, count, magnitude, deviation))
    if options.jitter:
        stages.append(lambda x, draws: jitter(x, draws, options.jitter))
    return stages
