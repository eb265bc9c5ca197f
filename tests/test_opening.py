from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from hypersweep.cache import Jobs
from hypersweep.configmap import ConfigMapJournal
from hypersweep.opening import Opened, Opening
from hypersweep.settings import Settings, StoreNotAllowed
from hypersweep.store import StoreJournal
from hypersweep.witness import Pools

from .executor import Delayed
from .fakekube import FakeKube
from .test_settings import a_spec

BEGAN = {"startedAt": "2026-01-01T00:00:00Z"}


def opened(settings: Settings, url: str | None = None, **status: Any) -> Opened:
    pool = Delayed()
    opening = Opening(settings, FakeKube(), ApiClient(Configuration()), Pools(pool, pool), pool)
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
