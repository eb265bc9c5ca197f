"""Data in a store that is away is waited for, in words; data that is refused ends a trial at once."""

from pathlib import Path

from tests.trainer.processes import wait
from tests.trainer.runs import an_environment, left, message
from tests.trainer.service import Service, Trial, service

__all__ = ["service"]

ROWS = "x,y\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(40))
PATIENCE = 100.0  # seconds until a process on a busy machine has come so far


def environment(root: Path, service: Service, data: str) -> dict[str, str]:
    given = {"data": data, "cache_dir": str(root / "cache"), "batch_size": 8, "checks": "off"}
    return an_environment(root / "trial", given, HYPERSWEEP_STORE_ENDPOINT=service.url)


def test_data_in_a_store_that_is_away_is_waited_for_and_read_in_the_end(
    service: Service, tmp_path: Path
) -> None:
    service.client.put_object(Bucket="sweeps", Key="data/rows.csv", Body=ROWS.encode())
    service.go()
    trial = Trial(tmp_path, environment(tmp_path, service, "s3://sweeps/data/rows.csv"))
    wait(trial.says("waiting for the store"), PATIENCE)
    before = trial.said
    service.come()

    assert "s3://sweeps/data/rows.csv: cannot be read" in before
    assert 0 == trial.process.wait(PATIENCE), trial.said
    assert "done" == left(tmp_path / "trial", "result.json")["status"]


def test_data_that_is_refused_is_not_waited_for(service: Service, tmp_path: Path) -> None:
    trial = Trial(tmp_path, environment(tmp_path, service, "s3://elsewhere/rows.csv"))

    assert 78 == trial.process.wait(PATIENCE), trial.said
    assert "s3://elsewhere/rows.csv: must be readable, but" in message(tmp_path / "trial")
    assert "waiting" not in trial.said
