"""What operator and trial agree on: environment names, keys in the store, exit codes, labels."""

import hashlib
import re

GROUP = "hypersweep.io"
VERSION = "v1alpha1"
KIND = "HyperSweep"
PLURAL = "hypersweeps"

LABEL_SWEEP = f"{GROUP}/sweep"
LABEL_UID = f"{GROUP}/uid"  # tells the pods of a sweep from those of a deleted one of its name
LABEL_TRIAL = f"{GROUP}/trial"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "hypersweep"
CONTAINER = "trial"

ENV_PARAMETERS = "HYPERSWEEP_PARAMETERS"
ENV_PARAMETER_PREFIX = "HYPERSWEEP_PARAM_"
ENV_SWEEP = "HYPERSWEEP_SWEEP"
ENV_TRIAL = "HYPERSWEEP_TRIAL"
ENV_ATTEMPT = "HYPERSWEEP_ATTEMPT"
ENV_SEED = "HYPERSWEEP_SEED"
ENV_REPLICATE = "HYPERSWEEP_REPLICATE"  # which of the runs of its configuration it is, from 0
ENV_EPOCHS = "HYPERSWEEP_EPOCHS"
ENV_DATA_FRACTION = "HYPERSWEEP_DATA_FRACTION"
ENV_RUNGS = "HYPERSWEEP_RUNGS"  # the epochs at which a rule may stop a trial, a JSON list, ascending
ENV_STORE = "HYPERSWEEP_STORE"
ENV_STORE_ENDPOINT = "HYPERSWEEP_STORE_ENDPOINT"
ENV_STORE_REGION = "HYPERSWEEP_STORE_REGION"
ENV_OBJECTIVES = "HYPERSWEEP_OBJECTIVES"
ENV_FINAL = "HYPERSWEEP_FINAL"
ENV_TERMINATION_LOG = "HYPERSWEEP_TERMINATION_LOG"
ENV_TRAINER = "HYPERSWEEP_TRAINER"  # the built-in trainer's fixed options (spec.trainer), a JSON object
ENV_CHECKS = "HYPERSWEEP_CHECKS"  # `all` for the trial that runs every check, for the whole sweep
ENV_RESOLVED = "HYPERSWEEP_RESOLVED"  # what `auto` stands for, as another replicate found it, a JSON object
ENV_PRETRAINED = "HYPERSWEEP_PRETRAINED"  # the URL of the model that `pretrained: sweep://…` names
ENV_GPUS = "HYPERSWEEP_GPUS"  # how many the pod has; absent where it has none
ENV_POD_UID = "HYPERSWEEP_POD_UID"  # makes the keys of two pods of one attempt differ

TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LIMIT = 4096  # bytes the kubelet keeps of a termination message

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_STOPPED = 75  # stopped on request, with a checkpoint
EXIT_CONFIG = 78  # bad configuration or store: never retried

RESULT = "result.json"
RESULT_LIMIT = 64 * 1024
PROGRESS = "progress.json"
PROGRESS_LIMIT = 4 * 1024
LOG = "log.txt"
LOG_LIMIT = 64 * 1024
ENVIRONMENT = "environment.json"
METRICS = "metrics"
CHECKPOINTS = "checkpoints"
RESOLVED = "resolved.json"  # what `auto` stands for, written before training
MODEL = "model"
BEST = f"{MODEL}/best.json"  # of a sweep: which of its trials left its model
BEST_LIMIT = 64 * 1024
PROBE = "probe"

FIRST_PORT = 20000  # below Linux's ephemeral range (32768), so that no outgoing connection holds the port
PORTS = 12000


def sweep_prefix(namespace: str, sweep: str, uid: str) -> str:
    """Where everything of one sweep lies in a store."""
    return f"{namespace}/{sweep}-{uid}"


def journal_key(sequence: int) -> str:
    return f"journal/{sequence:06d}.jsonl"


def attempt_prefix(trial: int, attempt: int) -> str:
    """The only place below which an attempt writes."""
    return f"trials/{trial:05d}/attempts/{attempt}"


def metrics_key(chunk: int) -> str:
    return f"{METRICS}/{chunk:06d}.jsonl"


def attempt_name(sweep: str, trial: int, attempt: int) -> str:
    """Name of an attempt's Job."""
    return f"{sweep}-{trial}-{attempt}"


def parameter_env(name: str) -> str:
    """The environment variable of one parameter: upper case, what an identifier cannot hold as `_`."""
    return ENV_PARAMETER_PREFIX + re.sub(r"[^A-Z0-9_]", "_", name.upper())


def port(uid: str, trial: int) -> int:
    """The rendezvous port of a trial: two trials of one machine must not meet."""
    digest = hashlib.sha256(f"{uid}/{trial}".encode()).digest()
    return FIRST_PORT + int.from_bytes(digest[:4], "big") % PORTS
