"""What people tune, row by row: options, checks and strategies for it, a source, tests that hold it."""

from collections.abc import Mapping

from hypersweep_trainer.options.catalogue import inputs, network, practice, training
from hypersweep_trainer.options.catalogue.row import Row

__all__ = ["BEYOND", "CHECKS", "ROWS", "STRATEGIES", "Row"]

ROWS: tuple[Row, ...] = (*inputs.ROWS, *network.ROWS, *training.ROWS, *practice.ROWS)

CHECKS: Mapping[str, str] = {  # of every run, or of a sweep's first trial for all
    "zero_mean": "The inputs have mean 0 over the training rows.",
    "first_loss": "The loss before training is that of a guess that knows nothing.",
    "gradient": "Slopes of the loss are those of finite differences (first trial).",
    "overfit_small": "A few rows are learned by heart when nothing regularises (first trial).",
    "regularisation": "Each regulariser that is on makes the loss of the same weights higher (first trial).",
    "hints": "What experience says of the configuration, from first weights to schedule (first trial).",
    "diverged": "A loss that is not finite, or far above that of a guess, ends the run as infeasible.",
    "stalled": "The training loss falls by 1 % within the first epochs.",
    "gap": "Validation is somewhat worse than training: no leak, no underfit, no overfit.",
}
STRATEGIES: Mapping[str, str] = {
    "list": "Configurations written down one by one.",
    "grid": "Every combination of values.",
    "random": "Draws by index.",
    "sobol": "Quasi-random draws (not supported yet).",
    "bayesian": "Draws guided by a model of the results (not supported yet).",
    "iterative": "One stage after the other, each adopting only what exceeds the noise.",
    "retune": "Nuisance parameters of a stage, optimised anew for each value that it compares.",
    "narrow": "A stage that searches a range so many times smaller around the best.",
    "perDecade": "So many values per decade of a log range.",
}
BEYOND: Mapping[str, tuple[str, ...]] = {  # options that no row asks for, and why they are there
    "what is learned": (
        "data", "format", "task", "target", "label", "features", "categorical", "tokenizer", "context",
        "synthetic_rows", "synthetic_noise", "synthetic_seed", "metrics",
    ),
    "further methods": (
        "target_smooth", "sampling", "repeated_augmentation", "heads", "mlp_ratio", "quantile",
    ),
    "how a run is carried out": (
        "precision", "tf32", "channels_last", "compile", "deterministic", "threads", "log_steps",
        "checkpoint_epochs", "checkpoint_seconds", "save_model", "cache_dir", "resident", "loader_workers",
    ),
}  # fmt: skip
