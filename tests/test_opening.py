import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from hypersweep.cache import Jobs
from hypersweep.configmap import ConfigMapJournal
from hypersweep.contract import BEST
from hypersweep.kube import SWEEPS
from hypersweep.model import NoModel
from hypersweep.opening import Opened, Opening
from hypersweep.settings import Settings, StoreNotAllowed
from hypersweep.store import StoreJournal, open_store
from hypersweep.witness import Pools

from .executor import Delayed
from .fakekube import FakeKube
from .test_settings import a_spec

BEGAN = {"startedAt": "2026-01-01T00:00:00Z"}


def opened(settings: Settings, url: str | None = None, kube: FakeKube | None = None, **status: Any) -> Opened:
    pool = Delayed()
    opening = Opening(settings, kube or FakeKube(), ApiClient(Configuration()), Pools(pool, pool), pool)
    return opening.open(("team", "digits"), "u-1", a_spec(url), status, Jobs(), lambda: None, lambda: True)


def test_everything_of_a_sweep_lies_below_its_own_prefix(tmp_path: Path) -> None:
    found = opened(Settings(store_url=str(tmp_path)))

    assert f"{tmp_path.as_uri()}/team/digits-u-1" == found.place.store_url
    assert isinstance(found.sweep.journal, StoreJournal)
    assert found.durable


def test_without_a_store_the_journal_is_a_configmap() -> None:
    found = opened(Settings())

    assert (None, False) == (found.place.store_url, found.durable)
    assert isinstance(found.sweep.journal, ConfigMapJournal)


def test_a_sweep_that_began_without_a_store_goes_on_without_one(tmp_path: Path) -> None:
    found = opened(Settings(store_url=str(tmp_path)), **BEGAN)

    assert isinstance(found.sweep.journal, ConfigMapJournal)


def test_a_sweep_goes_on_where_it_began(tmp_path: Path) -> None:
    before = opened(Settings(store_url=str(tmp_path))).place.store_url

    assert before == opened(Settings(store_url=str(tmp_path)), **BEGAN, store=before).place.store_url


@pytest.mark.parametrize("now", ["elsewhere", ""])
def test_a_sweep_is_not_begun_anew_in_another_store(now: str, tmp_path: Path) -> None:
    before = opened(Settings(store_url=str(tmp_path))).place.store_url
    settings = Settings(store_url=now and str(tmp_path / now))

    with pytest.raises(StoreNotAllowed, match="the sweep began in"):
        opened(settings, **BEGAN, store=before)


# -- the best model of another sweep


class Others:
    """The other sweeps of a cluster, as the API server and their store tell of them."""

    def __init__(self, folder: Path) -> None:
        self.kube = FakeKube()
        self.settings = Settings(store_url=str(folder))
        self.url = f"{folder.as_uri()}/team/base-uid-b"

    def add(self, phase: str = "Succeeded", store: str | None = "", namespace: str = "team") -> "Others":
        status = {"phase": phase, "store": self.url if store == "" else store}
        body = {"metadata": {"name": "base", "uid": "uid-b"}, "status": status if phase else {}}
        self.kube.put(SWEEPS, namespace, body)
        return self

    def leave(self, prefix: object = "trials/00003/attempts/1/model") -> "Others":
        open_store(self.url).write(BEST, json.dumps({"trial": 3, "attempt": 1, "prefix": prefix}).encode())
        return self

    def find(self, name: str = "base") -> str:
        return opened(self.settings, kube=self.kube).sweep.find(name)


def test_the_best_model_of_another_sweep_is_found_by_its_name(tmp_path: Path) -> None:
    others = Others(tmp_path).add().leave()

    assert f"{others.url}/trials/00003/attempts/1/model" == others.find()


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("NotFound", lambda others: others),
        ("NotFound", lambda others: others.add(namespace="another").leave()),
        ("NotSucceeded", lambda others: others.add("Running").leave()),
        ("NotSucceeded", lambda others: others.add("Failed").leave()),
        ("NotSucceeded", lambda others: others.add("").leave()),
        ("NoStore", lambda others: others.add(store=None).leave()),
        ("NoStore", lambda others: others.add(store="s3://somewhere/else").leave()),
        ("NoBest", lambda others: others.add()),
        ("Unreadable", lambda others: others.add().leave("../../another/model")),
        ("Unreadable", lambda others: others.add().leave(None)),
    ],
)
def test_a_sweep_without_a_best_model_says_why(tmp_path: Path, reason: str, change: Any) -> None:
    with pytest.raises(NoModel, match="pretrained: ") as told:
        change(Others(tmp_path)).find()

    assert reason == told.value.reason


def test_a_sweep_leaves_its_model_where_others_look_for_it(tmp_path: Path) -> None:
    store = opened(Settings(store_url=str(tmp_path))).sweep.store

    assert store is not None
    assert f"{tmp_path.as_uri()}/team/digits-u-1" == store.url
    assert opened(Settings()).sweep.store is None
