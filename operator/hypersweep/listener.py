"""Kopf in a thread and loop of its own: it only tells of HyperSweeps, and leaves no trace on them."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from hypersweep.contract import GROUP, PLURAL, VERSION
from hypersweep.kube import Document

LAG = 5.0  # seconds that the loop may take to answer


class Listener:
    """Calls `seen(document, deleted)` for every HyperSweep that is there, appears, changes or vanishes.

    A deletion that was missed while the API server was away is not told.
    """

    def __init__(self, namespaces: Sequence[str], seen: Callable[[Document, bool], None]) -> None:
        self.ready = threading.Event()
        self._namespaces = namespaces
        self._seen = seen
        self._stop = asyncio.Event()  # of the loop's own kind: for another one Kopf would block a thread
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Listen until stopped; the body of a thread."""
        asyncio.run(self._operate())

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def stuck(self) -> bool:
        """Whether the loop does not answer: asked, not measured, so that it costs nothing at rest."""
        if self._loop is None:
            return False
        answered = threading.Event()
        try:
            self._loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # it is closed
            return True
        return not answered.wait(LAG)

    async def _operate(self) -> None:
        self._loop = asyncio.get_running_loop()
        await kopf.operator(
            registry=self._registry(),
            namespaces=self._namespaces,
            clusterwide=not self._namespaces,
            standalone=True,
            stop_flag=self._stop,
            ready_flag=self.ready,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**context: Any) -> Any:
            return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)

        @kopf.on.startup(registry=registry)
        async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
            settings.posting.enabled = False
            settings.scanning.disabled = True  # it would want to list namespaces and CRDs
            settings.watching.server_timeout = 300
            settings.watching.client_timeout = 330
            settings.watching.connect_timeout = 10
            settings.networking.request_timeout = 30
            settings.networking.connect_timeout = 5
            # an outage of ten minutes is waited for, and noticed to be over within three seconds
            settings.networking.error_backoffs = [1, 1, 2, *[3] * 200]

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            self._seen(event["object"], event["type"] == "DELETED")

        return registry
