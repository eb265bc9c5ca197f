"""What the built-in trainer asks of the controller: a model to start from, and checks."""

from tests.controlled import BUILT_IN, World


def test_a_sweep_waits_for_the_model_that_it_starts_from_and_says_why() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits", "pretrained": "sweep://base/best"}).work()
    condition = world.condition("PretrainedAvailable")

    assert ([], ["NotSucceeded"]) == (world.job_names, world.reasons)
    assert ("False", "NotSucceeded", "pretrained: sweep base must have succeeded, but is Running") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    assert "Pending" == world.status["phase"]

    world.models["base"] = "s3://sweeps/base/model"
    world.pass_time(60)
    container = world.kube.objects["jobs", "team", "digits-0-0"]["spec"]["template"]["spec"]["containers"][0]

    assert {"name": "HYPERSWEEP_PRETRAINED", "value": "s3://sweeps/base/model"} in container["env"]
    assert "True" == world.condition("PretrainedAvailable")["status"]


def test_a_failed_check_is_told_and_the_sweep_goes_on() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits"}).work()
    for _ in range(6):
        world.finish(val_loss=0.5, checks="initial_loss: it is 9.1 instead of 2.3")
        world.pass_time(3)
    condition = world.condition("Checked")

    assert ("False", "ChecksFailed", "initial_loss: it is 9.1 instead of 2.3") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    assert "3/3" == world.status["progress"]
    assert ["Running", "ChecksFailed", "Succeeded"] == world.reasons


def test_a_failed_check_ends_a_sweep_that_asks_for_it() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits", "checks": "stop"}).work()
    for _ in range(4):
        world.finish(val_loss="nan", reason="a check failed", checks="input_mean: it is 112")
        world.pass_time(3)

    assert ("Failed", "ChecksFailed", "input_mean: it is 112") == tuple(
        world.status[name] for name in ("phase", "reason", "message")
    )
    assert ["Running", "Failed"] == world.reasons
    assert [] == world.job_names
