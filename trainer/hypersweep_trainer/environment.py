"""What a run stands on besides its configuration and data: Python, packages, the user's commit."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("hypersweep", "numpy", "pyarrow", "safetensors", "scikit-learn", "scipy", "timm", "torchvision")


@cache
def software() -> dict[str, Any]:
    """JSON types; a package that is not installed is null."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": commit(Path.cwd()),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit(folder: Path) -> str | None:
    """The git commit of the work tree that a folder lies in, read without git; None outside of one."""
    try:
        root = next((root for root in (folder, *folder.parents) if (root / ".git").exists()), None)
        return None if root is None else _head(_repository(root / ".git"))
    except (OSError, UnicodeDecodeError):  # whatever it is, it must not end a run
        return None


def _repository(git: Path) -> Path:
    """Where HEAD lies; of a further work tree or a submodule `.git` is a file that names it."""
    return git if git.is_dir() else git.parent / git.read_text().removeprefix("gitdir: ").strip()


def _head(repository: Path) -> str | None:
    """The commit of HEAD, which names it or a branch: a file, or a line among the packed ones."""
    head = (repository / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    name, shared = head.removeprefix("ref: "), repository / "commondir"
    common = repository / shared.read_text().strip() if shared.is_file() else repository
    if (common / name).is_file():
        return (common / name).read_text().strip()
    packed = common / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.partition(" ")[0] for line in lines if line.endswith(f" {name}")), None)
