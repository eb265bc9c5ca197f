"""Options of what is learned: the data, how it is split, and which metrics are reported."""

from dataclasses import dataclass

from hypersweep_trainer.options.facts import DATASETS, IMPORT, ON_REQUEST, TARGETS
from hypersweep_trainer.options.need import (
    CLASSES,
    DISCRETE,
    FILES,
    IMAGE,
    LABELLED,
    SEQUENCE,
    SINGLE,
    TABLES,
    more,
    one,
)  # fmt: skip
from hypersweep_trainer.options.option import (
    ASKED,
    CARRIED,
    MEASURED,
    TASKS,
    choice,
    integer,
    real,
    switch,
    text,
    texts,
)

SYNTHETIC = one("origin", "synthetic")
DEARER = [f"of {target} {', '.join(names)}" for target, names in ON_REQUEST.items()]


# fmt: off
@dataclass(frozen=True)
class Source:
    """Data. Where it comes from, how it is split, what is measured."""

    data: str = text(
        "digits", rf"s3://.+|{IMPORT}|.*[/.].*", "a path, an s3:// prefix or module:attribute",
        "What to train on: a data set that needs no download, files, or an import path to your own.",
        values=tuple(DATASETS), source="scikit-learn, toy data sets; markov: Shannon 1948", unswept=ASKED,
        hint="Your own module:attribute is (x, y), a Dataset or a function of these: docs/own-code.md.")
    format: str = choice(
        "auto", ("auto", "csv", "parquet", "npz", "images", "text"),
        "What the files of `data` are; auto goes by the ending, a folder holds one folder of images a class.",
        needs=FILES, source="pyarrow, numpy, Pillow", unswept=ASKED)
    task: str = choice(
        "auto", ("auto", *TASKS),
        "How the data is seen: as images (a mean per channel), a table (per column) or sequences of tokens.",
        source="ours: rows of shape (channels, height, width), (columns) or (tokens)", unswept=ASKED)
    target: str = choice(
        "auto", ("auto", *TARGETS),
        "What is learned: a class, a number, the next token, or the input itself.",
        source="Hastie et al.: The Elements of Statistical Learning, 2.2; tokens: Bengio et al., JMLR 2003; "
        "input: Vincent et al., JMLR 2010", unswept=ASKED)
    label: str = text(
        "", r".+", "a column's name",
        "Column that holds the target; unset means the last one (in an NPZ file the array `y` or `label`).",
        needs=FILES | one("format", "csv", "parquet", "npz") | LABELLED,
        source="scikit-learn, fetch_openml (target_column)", unswept=ASKED)
    features: tuple[str, ...] = texts(
        "column names", "Columns to learn from; unset means all but the label.", needs=TABLES,
        source="scikit-learn, ColumnTransformer (columns)", unswept=ASKED)
    categorical: tuple[str, ...] = texts(
        "column names", "Columns whose numbers are categories; columns of text always are, but for "
        "one of numbers with a few other words, which is refused unless it is named here.", needs=TABLES,
        source="scikit-learn, HistGradientBoostingClassifier (categorical_features)", unswept=ASKED)
    missing: str = choice(
        "median", ("median", "mean", "refuse"),
        "What stands for an empty cell of a number column; an empty category is one of its own. A cell of a "
        "CSV file is empty where it holds nothing, NA, N/A, n/a, #NA, #N/A, #N/A N/A, NULL, null, NaN, nan, "
        "-NaN, -nan, 1.#IND, -1.#IND, 1.#QNAN or -1.#QNAN.",
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
        unit="tokens", log=True, tasks=SEQUENCE, needs=one("length", "free"),
        source="nanoGPT (block_size)", first_sweep=(32, 256))
    synthetic_rows: int = integer(
        2000, 20, 10_000_000, "Rows to generate.",
        unit="rows", log=True, needs=SYNTHETIC, source="scikit-learn, make_classification (n_samples)",
        first_sweep=(500, 8000))
    synthetic_noise: float = real(
        0.5, 0.0, 10.0,
        "How much noise hides the pattern in generated data; of a Markov chain, how even "
        "it is; of brackets a twentieth of it is the share of wrong labels.",
        needs=SYNTHETIC, source="scikit-learn, make_regression (noise), make_classification (flip_y)",
        first_sweep=(0.1, 2.0))
    synthetic_seed: int = integer(
        0, 0, 2**31 - 1, "Seed of generated data; never a trial's own seed.", needs=SYNTHETIC,
        source="scikit-learn, make_classification (random_state)", unswept=MEASURED)
    val_fraction: float = real(
        0.2, 0.01, 0.8, "Share of the rows that validation measures and training never sees.",
        unit="share of rows", needs=one("folds", 0), source="scikit-learn, train_test_split",
        hint="Every choice of a sweep goes by these rows, none by those of the test part.", unswept=MEASURED)
    test_fraction: float = real(
        0.2, 0.0, 0.8, "Share of the rows kept for a sweep's final stage and `hypersweep evaluate`.",
        unit="share of rows", source="Hastie et al.: The Elements of Statistical Learning, 7.2",
        unswept=MEASURED)
    stratify: bool = switch(
        True, "Keep each class's share in every part, to within one row, and leave no class out.",
        needs=CLASSES, source="scikit-learn, StratifiedKFold", unswept=MEASURED)
    folds: int = integer(
        0, 0, 100, "Parts of a cross-validation; 0 is one split. The test part is set aside before.",
        source="Stone, JRSS B 1974", unswept=MEASURED,
        hint="5 or 10 and as many `seeds`: the score of a configuration is then its mean over all folds.")
    fold: int = integer(
        0, 0, 99, "Which of the folds validates, from 0; unset, each run of a configuration has its own.",
        needs=more("folds", 1), source="Stone, JRSS B 1974", unswept=MEASURED)
    split_seed: int = integer(
        0, 0, 2**31 - 1, "Seed of the split into training, validation and test; never a trial's own seed.",
        needs=one("target", "classification", "regression", "reconstruction"),
        source="scikit-learn, train_test_split", unswept=MEASURED)
    subset_fraction: float = real(
        1.0, 0.001, 1.0,
        "Share of the training rows that is used, class by class; smaller ones lie in larger ones.",
        unit="share of rows", log=True, source="Goodfellow et al.: Deep Learning, 11.4",
        hint="Find the order of magnitude of `lr` on a tenth, then refine on all rows.",
        first_sweep=(0.1, 1.0))
    metrics: tuple[str, ...] = texts(
        "names of metrics", "Metrics to report beside the usual ones, where they cost more to compute.",
        hint=f"Those {'; '.join(DEARER)}.",
        needs=DISCRETE, source="scikit-learn, sklearn.metrics", unswept=ASKED, horizon="evaluation")
    cache_dir: str = text(
        "", r".+", "a folder",
        "Where data from S3 is kept on this machine; unset means the user's cache folder.",
        needs=one("store", "s3"), source="XDG Base Directory Specification (XDG_CACHE_HOME)", unswept=CARRIED,
        horizon="speed")
    resident: str = choice(
        "auto", ("auto", "device", "host"),
        "Where the rows lie: on the device as a whole, or on the host, from where batches are copied ahead; "
        "auto: on the device up to 40 % of a GPU's free memory, or 10 % of the host's.",
        source="arXiv 2404.00498 (rows on the device)", unswept=CARRIED, horizon="speed")
    loader_workers: int = integer(
        2, 0, 64, "Threads that read images one by one, from files or a Dataset, ahead of the training.",
        unit="threads", tasks=IMAGE, needs=SINGLE, source="torch.utils.data.DataLoader (num_workers)",
        unswept=CARRIED, horizon="speed")
# fmt: on
