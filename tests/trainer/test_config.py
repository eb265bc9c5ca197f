"""A trial's environment: which rank a process is, and what it is asked for."""

import pytest

from hypersweep_trainer.config import Config, ConfigError, Goal, Place


def test_a_rank_is_counted_over_nodes() -> None:
    place = Place.read(
        {
            "PET_NNODES": "2",
            "PET_NPROC_PER_NODE": "4",
            "PET_NODE_RANK": "1",
            "HYPERSWEEP_LOCAL_RANK": "2",
            "PET_MASTER_ADDR": "sweep-0.trials",
            "PET_MASTER_PORT": "20001",
        }
    )

    assert (8, 6, "sweep-0.trials", 20001) == (place.world, place.rank, place.host, place.port)


def test_without_variables_a_process_is_alone() -> None:
    assert (1, 0) == (Place.read({}).world, Place.read({}).rank)


def test_a_node_beyond_the_number_of_nodes_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be below 2"):
        Place.read({"PET_NNODES": "2", "PET_NODE_RANK": "2"})


def test_parameters_replace_fixed_options_and_a_stage_s_epochs_replace_both() -> None:
    config = Config.read(
        {
            "HYPERSWEEP_TRAINER": '{"epochs": 5, "lr": 0.1, "depth": 3}',
            "HYPERSWEEP_PARAMETERS": '{"epochs": 6, "lr": 0.2}',
            "HYPERSWEEP_EPOCHS": "2",
            "HYPERSWEEP_OBJECTIVES": '[{"metric": "val_loss", "goal": "minimize", "at": "best"}]',
        }
    )

    assert (2, 0.2, 3) == (config.options.epochs, config.options.lr, config.options.depth)
    assert (Goal("val_loss", False, "best"),) == config.goals


def test_rungs_are_epochs_in_ascending_order() -> None:
    assert (1, 3, 9) == Config.read({"HYPERSWEEP_RUNGS": "[1, 3, 9]"}).rungs
    assert () == Config.read({"HYPERSWEEP_RUNGS": ""}).rungs


@pytest.mark.parametrize("found", ["[3, 1]", "[1, 1]", "[0]", "[1.5]", "[true]", "3", "{}", "1,3", '["1"]'])
def test_what_are_no_rungs_is_refused_in_one_sentence(found: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.read({"HYPERSWEEP_RUNGS": found})

    must = "must be a list of epochs, whole numbers above 0 in ascending order"
    assert f"HYPERSWEEP_RUNGS: {must}, but is {found!r}" == str(refused.value)


@pytest.mark.parametrize("at", ["first", "mean", "mean:0", "mean:x"])
def test_an_unknown_reading_of_an_objective_is_refused(at: str) -> None:
    objectives = f'[{{"metric": "val_loss", "goal": "minimize", "at": "{at}"}}]'

    with pytest.raises(ConfigError, match="`at` must be last, best or mean:k"):
        Config.read({"HYPERSWEEP_OBJECTIVES": objectives})
