"""What the operator is compared with: a loop that creates Jobs, sees them end and deletes them, no more."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.cluster.api import Api, Object

THREADS = 8  # as many as the operator acts with


class Loop:
    """So many Jobs at a time, the next one as soon as one has ended."""

    def __init__(self, api: Api, namespace: str, bodies: Iterable[Object], selector: str) -> None:
        self._api = api
        self._path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._selector = selector
        self._bodies = list(bodies)
        self._waiting = iter(self._bodies)
        self._lock = threading.Lock()
        self._watching = threading.Event()
        self._ended = threading.Event()
        self._seen: set[str] = set()
        self._acts: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(THREADS)

    def run(self, window: int) -> None:
        """Return when every Job has ended and its deletion was answered."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        assert self._watching.wait(30)
        with self._pool:
            self._acts += [self._pool.submit(self._act) for _ in range(window)]
            watch.join()
        for act in self._acts:
            act.result()

    def _watch(self) -> None:
        for event, seen in self._api.watch(self._path, self._ended, labelSelector=self._selector):
            self._watching.set()
            for job in seen["items"] if event == "LIST" else [seen]:
                metadata = job["metadata"]
                if metadata["uid"] not in self._seen and _over(job):
                    self._seen.add(metadata["uid"])
                    self._acts.append(self._pool.submit(self._act, metadata))
            if len(self._seen) == len(self._bodies):
                return

    def _act(self, ended: Object | None = None) -> None:
        """Create the next Job, then delete the one in whose place it comes."""
        with self._lock:
            body = next(self._waiting, None)
        try:
            if body is not None:
                self._api.create(self._path, body)
            if ended is not None:
                self._api.delete(f"{self._path}/{ended['name']}", uid=ended["uid"], policy="Background")
        except BaseException:
            self._ended.set()  # the watch would wait for ever
            raise


def _over(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)
