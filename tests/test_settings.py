import pytest

from hypersweep import api
from hypersweep.settings import Settings, StoreNotAllowed
from tests.controlled import SPEC


def a_spec(url: str | None = None) -> api.SweepSpec:
    store = {} if url is None else {"store": {"url": url}}
    metadata = {"name": "digits"}
    manifest = {"apiVersion": "hypersweep.io/v1alpha1", "kind": "HyperSweep", "metadata": metadata}
    return api.load(manifest | {"spec": SPEC | store}).spec


def test_a_sweep_without_a_store_gets_the_default_one() -> None:
    settings = Settings(store_url="s3://sweeps/all/", store_endpoint="http://minio", store_region="eu")
    place = settings.place(a_spec(), "team")

    assert ("s3://sweeps/all", "http://minio", "eu") == (place.store_url, place.endpoint, place.region)


def test_without_a_default_there_is_no_store() -> None:
    assert Settings().place(a_spec(), "team").store_url is None


@pytest.mark.parametrize(
    "url", ["s3://teams/team", "s3://teams/team/x/y", "s3://sweeps/all/x", "s3://shared/", "s3://shared/x"]
)
def test_a_store_below_an_allowed_prefix_may_be_named(url: str) -> None:
    settings = Settings(
        store_url="s3://sweeps/all", allowed_prefixes=("s3://teams/{namespace}", "s3://shared")
    )

    assert url.rstrip("/") == settings.place(a_spec(url), "team").store_url


@pytest.mark.parametrize(
    "url",
    ["s3://teams/team-b", "s3://teams", "s3://sweeps/allied", "s3://shared-not/x", "s3://shared/../other"],
)
def test_a_store_elsewhere_may_not(url: str) -> None:
    settings = Settings(
        store_url="s3://sweeps/all", allowed_prefixes=("s3://teams/{namespace}", "s3://shared")
    )

    with pytest.raises(StoreNotAllowed, match=r"spec\.store\.url.*s3://teams/team, s3://shared"):
        settings.place(a_spec(url), "team")


def test_where_none_is_allowed_the_message_says_so() -> None:
    with pytest.raises(StoreNotAllowed, match="none is allowed"):
        Settings().place(a_spec("s3://sweeps/x"), "team")
