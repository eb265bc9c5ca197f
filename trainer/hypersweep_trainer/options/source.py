"""Options of what is learned: the data, how it is split, and which metrics are reported."""

from dataclasses import dataclass

from hypersweep_trainer.options.facts import DATASETS, IMPORT, TARGETS
from hypersweep_trainer.options.need import (
    CLASSES,
    DISCRETE,
    FILES,
    FOLDERS,
    LABELLED,
    SEQUENCE,
    TABLES,
    more,
    one,
)  # fmt: skip
from hypersweep_trainer.options.option import TASKS, choice, integer, real, switch, text, texts

SYNTHETIC = one("origin", "synthetic")


# fmt: off
@dataclass(frozen=True)
class Source:
    """Data. Where it comes from, how it is split, what is measured."""

    data: str = text(
        "digits", rf"s3://.+|{IMPORT}|.*[/.].*", "a path, an s3:// prefix or module:attribute",
        "What to train on: a data set that needs no download, files, or an import path to your own.",
        values=tuple(DATASETS), source="scikit-learn, toy data sets; markov: Shannon 1948")
    format: str = choice(
        "auto", ("auto", "csv", "parquet", "npz", "images", "text"),
        "What the files of `data` are; auto goes by the ending, a folder holds one folder of images a class.",
        needs=FILES, source="pyarrow, numpy, Pillow")
    task: str = choice(
        "auto", ("auto", *TASKS),
        "How the data is seen: as images (a mean per channel), a table (per column) or sequences of tokens.")
    target: str = choice(
        "auto", ("auto", *TARGETS),
        "What is learned: a class, a number, the next token, or the input itself.")
    label: str = text(
        "", r".+", "a column's name",
        "Column that holds the target; unset means the last one (in an NPZ file the array `y` or `label`).",
        needs=FILES | one("format", "csv", "parquet", "npz") | LABELLED)
    features: tuple[str, ...] = texts(
        "column names", "Columns to learn from; unset means all but the label.", needs=TABLES)
    categorical: tuple[str, ...] = texts(
        "column names", "Columns whose numbers are categories; columns of text always are.", needs=TABLES)
    missing: str = choice(
        "median", ("median", "mean", "refuse"),
        "What stands for an empty cell of a number column; an empty category is one of its own.",
        value_needs={"refuse": one("origin", "file", "import")},
        needs=one("gaps", "some"), tasks=("tabular",), source="scikit-learn, SimpleImputer",
        first_sweep=("median", "mean"))
    tokenizer: str = choice(
        "chars", ("chars", "bytes"),
        "What a token of a text is: a character seen in training, or one of 256 bytes.",
        needs=one("format", "text"), tasks=SEQUENCE, source="bytes: arXiv 2105.13626",
        first_sweep=("chars", "bytes"))
    context: int = integer(
        64, 2, 65_536, "Tokens of one row of a sequence.",
        unit="tokens", log=True, tasks=SEQUENCE, source="nanoGPT (block_size)", first_sweep=(32, 256))
    synthetic_rows: int = integer(
        2000, 20, 10_000_000, "Rows to generate.",
        unit="rows", log=True, needs=SYNTHETIC, first_sweep=(500, 8000))
    synthetic_noise: float = real(
        0.5, 0.0, 10.0,
        "How much noise hides the pattern in generated data; of a Markov chain, how even "
        "it is; of brackets a twentieth of it is the share of wrong labels.",
        needs=SYNTHETIC, first_sweep=(0.1, 2.0))
    synthetic_seed: int = integer(
        0, 0, 2**31 - 1, "Seed of generated data; never a trial's own seed.", needs=SYNTHETIC)
    val_fraction: float = real(
        0.2, 0.01, 0.8, "Share of the rows that validation measures and training never sees.",
        unit="share of rows", needs=one("folds", 0), source="scikit-learn, train_test_split",
        hint="Every choice of a sweep goes by these rows, none by those of the test part.")
    test_fraction: float = real(
        0.2, 0.0, 0.8, "Share of the rows kept for a sweep's final stage and `hypersweep evaluate`.",
        unit="share of rows", source="Hastie et al.: The Elements of Statistical Learning, 7.2")
    stratify: bool = switch(
        True, "Keep each class's share in every part, to within one row.",
        needs=CLASSES, source="scikit-learn, StratifiedKFold")
    folds: int = integer(
        0, 0, 100, "Parts of a cross-validation; 0 is one split. The test part is set aside before.",
        source="Stone, JRSS B 1974", hint="5 or 10, with `fold` swept as a choice of all of them.")
    fold: int = integer(
        0, 0, 99, "Which of the folds validates, counted from 0.",
        needs=more("folds", 1), source="Stone, JRSS B 1974")
    split_seed: int = integer(
        0, 0, 2**31 - 1, "Seed of the split into training, validation and test; never a trial's own seed.",
        needs=one("target", "classification", "regression", "reconstruction"),
        source="scikit-learn, train_test_split")
    subset_fraction: float = real(
        1.0, 0.001, 1.0,
        "Share of the training rows that is used, class by class; smaller ones lie in larger ones.",
        unit="share of rows", log=True, source="Goodfellow et al.: Deep Learning, 11.4",
        hint="Find the order of magnitude of `lr` on a tenth, then refine on all rows.",
        first_sweep=(0.1, 1.0))
    metrics: tuple[str, ...] = texts(
        "names of metrics", "Metrics to report beside the usual ones, where they cost more to compute.",
        needs=DISCRETE, source="scikit-learn, sklearn.metrics", horizon="evaluation")
    cache_dir: str = text(
        "", r".+", "a folder",
        "Where data from S3 is kept on this machine; unset means the user's cache folder.",
        needs=FILES, horizon="speed")
    resident: str = choice(
        "auto", ("auto", "device", "host"),
        "Where the rows lie: on the device as a whole, or read from their files batch by batch.",
        needs=FOLDERS, horizon="speed")
    loader_workers: int = integer(
        2, 0, 64, "Threads that read image files ahead of the training.",
        unit="threads", needs=FOLDERS, horizon="speed")
# fmt: on
