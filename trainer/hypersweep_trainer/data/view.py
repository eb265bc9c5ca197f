"""How the network sees an image, in training and in prediction: cut out, scaled and normalised."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from hypersweep_trainer.data.raw import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N")  # modes of PIL


@dataclass(frozen=True)
class Frame:
    """What of an image is seen: the middle share `crop` of each side, scaled to `size` (height, width)."""

    size: tuple[int, int]
    crop: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """Images (n, channels, height, width), scaled bilinearly with antialiasing; bytes stay bytes."""
        cut = [max(1, round(self.crop * side)) for side in x.shape[2:]]
        top, left = ((side - kept) // 2 for side, kept in zip(x.shape[2:], cut, strict=True))
        x = x[:, :, top : top + cut[0], left : left + cut[1]]
        return x if tuple(cut) == self.size else interpolate(x, self.size, mode="bilinear", antialias=True)


@dataclass(frozen=True)
class View:
    """How images become what the network takes: framed, then each channel by its mean and deviation."""

    frame: Frame
    mean: Tensor  # (channels, 1, 1)
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Of images (n, channels, height, width), bytes or from 0 to 1."""
        return self.finish(self.frame(unit(x)))

    def finish(self, x: Tensor) -> Tensor:
        """The same of images that are framed already."""
        return (unit(x) - self.mean) / self.deviation


def unit(x: Tensor) -> Tensor:
    """Images from 0 to 1; bytes count to 255."""
    return x / 255 if x.dtype == torch.uint8 else x


def evaluation(encoding: Mapping[str, Any], device: torch.device) -> View:
    """The view that evaluation and prediction have, as an encoding holds it."""
    mean, deviation = (
        torch.tensor(encoding[name], dtype=torch.float32, device=device)[:, None, None]
        for name in ("mean", "std")
    )
    height, width = encoding["test_size"]
    return View(Frame((height, width), encoding["test_crop"]), mean, deviation)


def opened(file: Path, encoding: Mapping[str, Any], device: torch.device) -> Tensor:
    """What the network takes of an image file, (1, channels, height, width); raises DataError."""
    view = evaluation(encoding, device)
    return view.finish(decoded(file, encoding["channels"], view.frame)[None].to(device))


def decoded(file: Path, channels: int, frame: Frame) -> Tensor:
    """What a frame shows of an image file, as bytes (channels, height, width); raises DataError.

    Transparency is dropped, of an animation the first picture counts, and of 16 bits the upper 8.
    """
    with _image(file) as image:
        pixels = _pixels(image, channels)
    x = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[:, :, None])
    return frame(x.permute(2, 0, 1)[None])[0].contiguous()


def grey(file: Path) -> bool:
    """Whether an image has no colours, by its header; raises DataError where that cannot be read."""
    with _image(file) as image:
        return image.mode in GREY


@contextmanager
def _image(file: Path) -> Iterator["Image"]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits, where 8 and 16 can be read")
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: must be an image, but {error}") from None


def _pixels(image: "Image", channels: int) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        upper = (np.asarray(image) >> 8).astype(np.uint8)
        return upper if channels == 1 else np.stack([upper] * 3, -1)
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may be transparent, of which RGB alone warns
    return np.array(image.convert("L" if channels == 1 else "RGB"))
