"""Our augmentation ÷ torchvision's on one thread: `python -m benchmarks.augment`.

Both treat 64 random images of 3×32×32, in pairs of samples that alternate. torchvision's RandAugment draws
one set of operations for a whole batch, so it runs image by image; its MixUp and CutMix draw one share for a
batch, ours one for each pair of rows. Of ours the blend that a network does counts too.
"""

import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from hypersweep_trainer.augment import Augment
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options

PAIRS, CALLS, ROWS, CLASSES = 100, 10, 64, 10
FORM = Form("image", "classification", (3, 32, 32), CLASSES)
IMAGES = torch.rand(ROWS, *FORM.shape)
LABELS = torch.randint(CLASSES, (ROWS,))
INTERPOLATION = v2.InterpolationMode.BILINEAR  # as ours

Work = Callable[[], Any]


def ours(**options: Any) -> Work:
    """A batch as the network has it, of images that are in memory."""
    augment = Augment(Options(**options), FORM, lambda x: x, torch.device("cpu"))
    rows, seeds = torch.arange(ROWS), count()

    def work() -> Tensor:
        batch = augment(lambda _: (IMAGES, LABELS), rows, slice(0, ROWS), next(seeds))
        if batch.other is None or batch.share is None:
            return batch.x
        return torch.lerp(batch.other, batch.x, batch.share.view(-1, 1, 1, 1))

    return work


def each(transform: Callable[[Tensor], Tensor]) -> Work:
    return lambda: torch.stack([transform(image) for image in IMAGES])


def together(transform: Callable[[Tensor, Tensor], Any]) -> Work:
    return lambda: transform(IMAGES, LABELS)


def seconds(work: Work) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - began) / CALLS


def compare(name: str, mine: Work, theirs: Work) -> None:
    """Print the ratio of samples that follow one another, whichever of the two comes first."""
    seconds(mine), seconds(theirs)
    pairs = []
    for number in range(PAIRS):
        first, second = (mine, theirs) if number % 2 else (theirs, mine)
        times = {first: seconds(first), second: seconds(second)}
        pairs.append((times[mine], times[theirs]))
    low, median, high = statistics.quantiles([one / other for one, other in pairs], n=4)
    ms, other = (statistics.median(times) * 1e3 for times in zip(*pairs, strict=True))
    print(f"{name}: {median:.2f} (quartiles {low:.2f} to {high:.2f}; {ms:.2f} ms ÷ {other:.2f} ms)")


def main() -> None:
    torch.set_num_threads(1)
    print(f"ours ÷ torchvision, {ROWS} images of 3×32×32, medians of {PAIRS} pairs")
    compare(
        "RandAugment, 2 operations",
        ours(rand_augment_n=2, rand_augment_m=9.0),
        each(v2.RandAugment(2, 9, interpolation=INTERPOLATION)),
    )
    compare("MixUp", ours(mixup_alpha=0.2), together(v2.MixUp(alpha=0.2, num_classes=CLASSES)))
    compare("CutMix", ours(cutmix_alpha=1.0), together(v2.CutMix(alpha=1.0, num_classes=CLASSES)))


if __name__ == "__main__":
    main()
