"""What options must not exceed: the side of images, the length of sequences."""

from collections.abc import Callable, Iterator, Mapping

from hypersweep_trainer.options.branch import Branch
from hypersweep_trainer.options.facts import DATASETS, FILE_SIDE

SEEN = ("task", "context", "length", "image_size", "data", "format")  # what `side` reads


def side(branch: Branch) -> int:
    """The smaller side of images, or the length of sequences; 0 where only the data can tell."""
    match branch["task"]:
        case "sequence":
            return int(branch["context"]) if branch["length"] == "free" else 0
        case "image":
            known = DATASETS.get(branch["data"])
            own = known.side if known else FILE_SIDE if branch["format"] == "images" else 0
            return int(branch["image_size"] or own)
    return 0


def _kernel(branch: Branch) -> Iterator[str]:
    most = side(branch)
    if branch["architecture"] == "cnn" and most and branch["kernel"] > most:
        yield f"kernel: must be at most {most}, the smaller side, but found {branch['kernel']}"


def _dilation(branch: Branch) -> Iterator[str]:
    """Points of a kernel that lie outside wherever its middle is see zeros alone."""
    length, reach, kernel = side(branch), branch["kernel"] // 2, branch["kernel"]
    if branch["architecture"] != "cnn" or not reach or not length >= kernel:
        return
    most = (length - 1) // reach
    if branch["dilation"] > most:
        found = f"{branch['dilation']} with kernel={kernel}"
        yield f"dilation: must be at most {most} to reach a point of a side of {length}, but found {found}"


def _pyramid(branch: Branch) -> Iterator[str]:
    length, most = side(branch), max(branch["aspp_rates"], default=0)
    if branch["architecture"] == "cnn" and length and most >= length:
        yield f"aspp_rates: must be below {length}, the smaller side, but found {most}"


def _patch(branch: Branch) -> Iterator[str]:
    most = side(branch)
    images = branch["task"] == "image" and branch["architecture"] == "transformer"
    if images and most and branch["patch"] > most:
        yield f"patch: must be at most {most}, the smaller side, but found {branch['patch']}"


def _shift(branch: Branch) -> Iterator[str]:
    """A reflection repeats after the whole image."""
    length = side(branch)
    if branch["task"] == "image" and length and branch["crop_pad"] >= length:
        yield f"crop_pad: must be below {length}, the smaller side, but found {branch['crop_pad']}"


RULES: Mapping[Callable[[Branch], Iterator[str]], tuple[str, ...]] = {  # what each reads
    _kernel: ("architecture", "kernel", *SEEN),
    _dilation: ("architecture", "kernel", "dilation", *SEEN),
    _pyramid: ("architecture", "aspp_rates", *SEEN),
    _patch: ("architecture", "patch", *SEEN),
    _shift: ("crop_pad", *SEEN),
}
