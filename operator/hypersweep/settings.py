"""How an operator is configured: what it watches, what trials get by default, where they may write."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypersweep.api import SweepSpec
from hypersweep.cluster import Place


class StoreNotAllowed(Exception):
    """A sweep names a store that the operator's configuration does not allow."""


@dataclass(frozen=True)
class Settings:
    namespaces: tuple[str, ...] = ()  # none: all
    trainer_image: str = ""
    store_url: str = ""
    store_endpoint: str = ""
    store_region: str = ""
    store_secret: str = ""
    allowed_prefixes: tuple[str, ...] = ()
    lease_namespace: str = "default"
    lease_name: str = "hypersweep-operator"
    identity: str = ""
    port: int = 8080
    workers: int = 4

    def place(self, spec: SweepSpec, namespace: str) -> Place:
        """What the trials of a sweep are told; `store_url` is where all sweeps of that store lie."""
        url = self.store_url
        if spec.store is not None:
            url = spec.store.url
            self._check(url, namespace)
        return Place(
            image=self.trainer_image,
            store_url=url.rstrip("/") or None,
            endpoint=self.store_endpoint or None,
            region=self.store_region or None,
            secret=self.store_secret or None,
        )

    def _check(self, url: str, namespace: str) -> None:
        """Raises StoreNotAllowed when a sweep of this namespace may not write there."""
        allowed = [prefix.replace("{namespace}", namespace) for prefix in self.allowed_prefixes]
        if self.store_url:
            allowed.append(self.store_url)
        if not any(_below(url, prefix) for prefix in allowed):
            must = f"lie below one of {', '.join(allowed)}" if allowed else "be left out: none is allowed"
            raise StoreNotAllowed(f"spec.store.url: it must {must}, but got {url!r}")


def _below(url: str, prefix: str) -> bool:
    steps: Sequence[str] = url.rstrip("/").split("/")
    return ".." not in steps and steps[: len(top)] == top if (top := prefix.rstrip("/").split("/")) else False
