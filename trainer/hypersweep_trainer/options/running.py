"""Options of how a run is carried out: precision, speed, checks, checkpoints."""

from dataclasses import dataclass

from hypersweep_trainer.options.need import IMAGE, more, one
from hypersweep_trainer.options.option import CARRIED, choice, integer, real, switch


# fmt: off
@dataclass(frozen=True)
class Running:
    """How it runs. Precision, speed, checks and checkpoints."""

    precision: str = choice(
        "float32", ("float32", "bf16", "fp16"),
        "Numbers that matrix products are computed in; weights stay float32.",
        source="arXiv 1710.03740; torch.autocast", hint="bf16 on a GPU that has it.",
        first_sweep=("float32", "bf16"))
    tf32: bool = switch(
        False, "Let a GPU round the inputs of float32 matrix products and convolutions to 10 bits.",
        needs=one("precision", "float32"), source="torch.backends.cuda.matmul, torch.backends.cudnn",
        unswept=CARRIED, horizon="speed")
    channels_last: bool = switch(
        False, "Keep images and convolutions in the order that tensor cores like.",
        tasks=IMAGE, needs=one("architecture", "cnn", "timm", "import"), source="torch.channels_last",
        unswept=CARRIED, horizon="speed")
    compile: str = choice(
        "off", ("off", "default", "reduce-overhead", "max-autotune"),
        "Compile the network before the first step, for each size of batch; all but default record CUDA "
        "graphs.",
        source="torch.compile", unswept=CARRIED, horizon="speed",
        hint="Pays in long runs only, and needs a C++ compiler where they run, on a GPU one of C. Dropout "
        "draws other masks than without it.")
    deterministic: bool = switch(
        False, "Use only algorithms that give the same bits each time, also on a GPU.",
        source="torch.use_deterministic_algorithms", unswept=CARRIED, horizon="speed")
    threads: int = integer(
        1, 1, 1024, "CPU threads of each rank; another number can change the last bits of a result.",
        unit="threads", source="torch.set_num_threads", unswept=CARRIED, horizon="speed")
    checks: str = choice(
        "warn", ("off", "warn", "stop"),
        "What the checks of a sweep's first trial do when one fails: nothing, warn, or stop the sweep.",
        source="Karpathy: A Recipe for Training Neural Networks, 2019; Goodfellow et al.: Deep Learning",
        unswept=CARRIED, horizon="speed")
    log_steps: int = integer(
        0, 0, 1_000_000, "Steps from one row of metrics to the next within an epoch; 0 reports epochs alone.",
        unit="steps", source="PyTorch Lightning, Trainer (log_every_n_steps)", unswept=CARRIED,
        horizon="speed")
    noise_scale: bool = switch(
        False,
        "Measure after each epoch the noise scale of the gradient: the rows of a batch beyond which more of "
        "them hardly save steps.",
        source="arXiv 1812.06162", unswept=CARRIED, horizon="evaluation",
        hint="Well below it, a batch twice as large needs half the steps; well above it, as many. It grows "
        "while the loss falls.")
    checkpoint_epochs: int = integer(
        1, 0, 100_000, "Epochs from one checkpoint to the next; 0 saves only on a request to stop.",
        unit="epochs", source="PyTorch Lightning, ModelCheckpoint (every_n_epochs)", unswept=CARRIED,
        horizon="speed")
    checkpoint_seconds: float = real(
        10.0, 0.0, 86_400.0, "Least time between checkpoints of epochs; longer epochs are saved each minute.",
        unit="seconds", needs=more("checkpoint_epochs"), source="Young, CACM 1974", unswept=CARRIED,
        horizon="speed")
    save_model: bool = switch(
        True, "Leave the trained model, ready for `hypersweep predict`.",
        source="safetensors", unswept=CARRIED, horizon="speed")
# fmt: on
