"""One HyperSweep between two passes: the object, what was made of it, what was written to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypersweep import api
from hypersweep.api import SweepSpec
from hypersweep.kube import Document
from hypersweep.metrics import Series
from hypersweep.opening import Opened

Key = tuple[str, str]  # namespace, name

TERMINAL = ("Succeeded", "Failed")


class Tracked:
    """Of one uid: another one of the same name is another Tracked."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.key: Key = (document["metadata"]["namespace"], document["metadata"]["name"])
        self.uid: str = document["metadata"]["uid"]
        self.version: str = document["metadata"]["resourceVersion"]
        self.status: Mapping[str, Any] = document.get("status") or {}  # as written last
        self.written = float("-inf")
        self.failures = 0
        self.spec: SweepSpec | None = None
        self.opened: Opened | None = None
        self.series: Series | None = None
        self.parsed = -1  # the generation that `spec` is

    @property
    def metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["metadata"]
        return found

    @property
    def generation(self) -> int:
        return int(self.metadata["generation"])

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def parked(self) -> bool:
        """Whether it ended, and nobody has asked for more since."""
        observed = self.status.get("observedGeneration")
        return self.status.get("phase") in TERMINAL and observed == self.generation

    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]:
        return self.status.get("conditions") or ()

    def condition(self, kind: str) -> Mapping[str, Any] | None:
        return next((found for found in self.conditions if found["type"] == kind), None)

    def see(self, document: Document) -> bool:
        """Take a newer version; whether a pass has to look at it: our own status is no news."""
        version: str = document["metadata"]["resourceVersion"]
        if (len(version), version) < (len(self.version), self.version):
            return False  # it was under way when our own write was answered
        before = (self.generation, self.deleting)
        self.document = document
        self.version = version
        return before != (self.generation, self.deleting)

    def wrote(self, status: Mapping[str, Any], answer: Document) -> None:
        """What was sent counts, not what the API server made of it, so that equal means unchanged."""
        self.status = status
        self.version = answer["metadata"]["resourceVersion"]

    def parse(self, durable: bool) -> SweepSpec:
        """The spec of this generation; raises SpecError with everything that is wrong with it."""
        document = self.document  # another thread may put a newer one in its place meanwhile
        generation = int(document["metadata"]["generation"])
        if self.spec is None or self.parsed != generation:
            # what has no store of its own may do less, unless the operator has one for it
            own = bool((document.get("spec") or {}).get("store"))
            if wrong := api.problems(document, durable or own):
                raise api.SpecError(wrong)
            self.spec = api.HyperSweep.model_validate(document).spec
            self.parsed = generation
        return self.spec
