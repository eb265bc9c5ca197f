"""Data: what it holds, is equal to what others say it is, and is shared by the trials that share it."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from importlib import import_module
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hypersweep_trainer.config import Config
from hypersweep_trainer.data import LATER, MATERIAL, Data, bundled, encode, load, material, read, synthetic
from hypersweep_trainer.data.language import SYMBOLS, balanced, chain, entropy_rate
from hypersweep_trainer.data.raw import Raw, Rows
from hypersweep_trainer.options import DATASETS, OPTIONS, Options
from hypersweep_trainer.options.branch import Branch
from hypersweep_trainer.options.facts import SEEN

CPU = torch.device("cpu")
BUNDLED = ("digits", "breast_cancer", "diabetes", "wine", "iris")
TABLES = ("breast_cancer", "diabetes", "wine", "iris", "synthetic_table", "synthetic_curve")
GENERATED = tuple(synthetic.GENERATORS)


def a_config(options: dict[str, Any], **variables: str) -> Config:
    return Config.read({"HYPERSWEEP_TRAINER": json.dumps(options), **variables})


def a_data_set(data: str, variables: dict[str, str] | None = None, **options: Any) -> Data:
    return load(a_config({"data": data, **options}, **(variables or {})), CPU)


def every(rows: Rows) -> tuple[Tensor, Tensor]:
    return rows.take(torch.arange(len(rows)))


def generated(data: str, **options: Any) -> Raw:
    return synthetic.read(Options(data=data, **options))


# Bundled sets


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_are_those_of_scikit_learn_to_the_last_bit(name: str) -> None:
    datasets = import_module("sklearn.datasets")
    loader = getattr(datasets, f"load_{name}")
    expected = loader(scaled=False) if name == "diabetes" else loader()
    raw = bundled.read(name, "tabular")
    assert raw.columns is not None

    assert list(expected.feature_names) == list(raw.columns)
    np.testing.assert_array_equal(np.stack(list(raw.columns.values()), 1), expected.data)
    np.testing.assert_array_equal(raw.labels, expected.target)
    assert [str(one) for one in getattr(expected, "target_names", [])] == list(raw.names)


def test_digits_are_images_from_0_to_1() -> None:
    images = import_module("sklearn.datasets").load_digits().images
    pixels = bundled.read("digits", "image").pixels
    assert pixels is not None

    assert np.float32 == pixels.dtype
    np.testing.assert_array_equal(pixels[:, 0] * 16, images)


def test_reading_the_data_imports_neither_scikit_learn_nor_what_reads_files() -> None:
    code = """if True:
        import sys, torch, json
        from hypersweep_trainer.config import Config
        from hypersweep_trainer.data import load
        table = {"num_encoder": "quantile", "cat_encoder": "target", "data": "synthetic_table"}
        for options in ({}, {"data": "iris"}, {"data": "markov"}, table):
            load(Config.read({"HYPERSWEEP_TRAINER": json.dumps(options)}), torch.device("cpu"))
        print(*sorted({name.partition(".")[0] for name in sys.modules}))
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    heavy = {"sklearn", "scipy", "pyarrow", "torchvision", "timm", "kornia", "PIL", "pandas", "boto3"}
    assert not heavy & set(found.split())


# Generated sets


@pytest.mark.parametrize("name", GENERATED)
def test_generated_data_follows_rows_noise_and_seed_alone(name: str) -> None:
    one = generated(name, synthetic_rows=40)
    changes: list[dict[str, Any]] = [{"synthetic_seed": 1}, {"synthetic_noise": 3.0}, {"synthetic_rows": 41}]
    others = [generated(name, **{"synthetic_rows": 40, **change}) for change in changes]

    assert one.digest == generated(name, synthetic_rows=40, split_seed=3, lr=1.0).digest
    assert 4 == len({raw.digest for raw in (one, *others)})
    assert (40 * 64 + 1 if name == "markov" else 40) == len(one.labels)


def test_synthetic_images_are_ten_patterns_that_noise_hides() -> None:
    shares = {}
    for noise in (0.0, 0.5, 10.0):
        raw = generated("synthetic_images", synthetic_noise=noise, synthetic_rows=500)
        assert raw.pixels is not None
        x = raw.pixels.reshape(500, -1).astype(np.float64)
        means = np.stack([x[:250][raw.labels[:250] == label].mean(0) for label in range(10)])
        nearest = ((x[250:, None] - means) ** 2).sum(2).argmin(1)
        shares[noise] = (nearest == raw.labels[250:]).mean()

    assert ((500, 3, 32, 32), np.uint8) == (raw.pixels.shape, raw.pixels.dtype)
    assert [50] * 10 == np.bincount(raw.labels).tolist()
    assert 30 < raw.pixels.std() < 50
    assert 1.0 == shares[0.0] >= shares[0.5] > 0.95
    assert shares[10.0] < 0.4


def test_the_synthetic_table_has_all_that_makes_encoders_differ() -> None:
    raw = generated("synthetic_table", synthetic_rows=5000)
    assert raw.columns is not None
    numbers = {name: cells for name, cells in raw.columns.items() if cells.dtype != object}
    texts = {name: cells for name, cells in raw.columns.items() if cells.dtype == object}
    scales = [np.nanstd(cells) for cells in numbers.values()]
    logs = np.log(numbers["income"][~np.isnan(numbers["income"])])
    gaps = [np.mean([cell is None or cell != cell for cell in cells]) for cells in raw.columns.values()]

    assert (7, 3) == (len(numbers), len(texts))
    assert max(scales) / sorted(scales)[1] > 1e6
    assert abs(((logs - logs.mean()) ** 3).mean()) < 0.2  # no skew: it is lognormal
    assert {0.0, 1.0} == set(numbers["member"][~np.isnan(numbers["member"])])
    assert {1.0} == set(numbers["unit"][~np.isnan(numbers["unit"])])
    assert [4, 20] == sorted(len({*cells} - {None}) for cells in texts.values())[:2]
    assert len({*texts["product"]}) > 100
    assert all(abs(gap - 0.05) < 0.01 for gap in gaps)
    assert [1667, 1667, 1666] == np.bincount(raw.labels).tolist()


def test_the_synthetic_curve_is_positive_and_known() -> None:
    raw = generated("synthetic_curve", synthetic_noise=0.0)
    noisy = generated("synthetic_curve", synthetic_noise=10.0)
    assert raw.columns is not None
    x, z = raw.columns["x"], raw.columns["z"]

    assert raw.labels.min() > 0
    assert noisy.labels.min() > 0
    np.testing.assert_allclose(raw.labels, np.exp(1 + np.sin(2 * x) + z / 2), rtol=1e-12)


# The Markov chain


def test_the_entropy_rate_of_a_chain_is_that_of_the_closed_form() -> None:
    """Of two states that are left with probabilities a and b: (b h(a) + a h(b)) / (a + b)."""
    a, b = 0.1, 0.4

    def h(p: float) -> float:
        return -p * log(p) - (1 - p) * log(1 - p)

    assert (b * h(a) + a * h(b)) / (a + b) == pytest.approx(entropy_rate(np.array([[1 - a, a], [b, 1 - b]])))
    assert log(27) == pytest.approx(entropy_rate(np.full((27, 27), 1 / 27)))
    assert 0.0 == pytest.approx(entropy_rate(np.roll(np.eye(27), 1, 1)), abs=1e-12)


def test_the_markov_chain_is_the_one_that_its_transition_says() -> None:
    options = Options(data="markov", synthetic_rows=8000)
    raw, transition = synthetic.read(options), chain(options)
    assert raw.tokens is not None
    symbols = raw.tokens - 1
    counts = np.zeros((SYMBOLS, SYMBOLS))
    np.add.at(counts, (symbols[:-1], symbols[1:]), 1)
    found = counts / counts.sum(1, keepdims=True)
    own = -np.log(transition[symbols[:-1], symbols[1:]])

    assert (8000 * 64 + 1,) == raw.tokens.shape
    assert (1, 27, 28) == (raw.tokens.min(), raw.tokens.max(), raw.vocabulary)
    np.testing.assert_allclose(transition.sum(1), 1, rtol=1e-12)
    assert np.abs(found - transition).max() < 0.02
    # The chain's own loss is its entropy rate, within four standard errors of a mean of so many.
    assert entropy_rate(transition) == pytest.approx(own.mean(), abs=4 * own.std() / len(own) ** 0.5)


def test_noise_takes_the_markov_chain_from_certainty_to_chance() -> None:
    noises = (0.0, 0.1, 0.5, 2.0, 10.0)
    rates = [entropy_rate(chain(Options(data="markov", synthetic_noise=noise))) for noise in noises]

    assert 0.0 == pytest.approx(rates[0], abs=1e-9)
    assert all(one < other for one, other in pairwise(rates))
    assert 1 < rates[2] < 0.8 * log(27)
    assert 0.99 * log(27) < rates[-1] < log(27)


# Brackets


def matched(word: list[int]) -> bool:
    stack: list[int] = []
    for token in word:
        if token in (1, 2):
            stack.append(token)
        elif token in (3, 4) and (not stack or stack.pop() != token - 2):
            return False
    return not stack


@pytest.mark.parametrize("context", [2, 3, 7, 64])
def test_brackets_are_balanced_in_half_of_the_rows_and_counting_tells_nothing(context: int) -> None:
    raw = generated("brackets", synthetic_noise=0.0, context=context, synthetic_rows=400)
    assert raw.tokens is not None
    counts = np.stack([(raw.tokens == token).sum(1) for token in range(5)], 1)

    assert [matched(word) for word in raw.tokens.tolist()] == raw.labels.astype(bool).tolist()
    assert balanced(raw.tokens).tolist() == raw.labels.astype(bool).tolist()
    assert [200, 200] == np.bincount(raw.labels).tolist()
    assert (counts[:, 1] == counts[:, 3]).all()
    assert (counts[:, 2] == counts[:, 4]).all()
    assert (counts[:, 0] == context % 2).all()


def test_noise_makes_a_known_share_of_the_brackets_labels_wrong() -> None:
    raw = generated("brackets", synthetic_noise=4.0, synthetic_rows=10_000, context=8)
    assert raw.tokens is not None

    assert 4.0 / 20 == pytest.approx((balanced(raw.tokens) != raw.labels).mean(), abs=0.016)


# What a trial gets


@pytest.mark.parametrize("name", [*BUNDLED, *GENERATED])
def test_every_data_set_comes_in_the_form_that_it_declares(name: str) -> None:
    data = a_data_set(name, {"HYPERSWEEP_FINAL": "1"})
    assert data.test is not None

    for part in (data.train, data.val, data.test):
        x, y = every(part)
        assert data.form.shape == tuple(x.shape[1:])
        assert (torch.int64 if data.form.task == "sequence" else torch.float32) == x.dtype
        assert bool(x.isfinite().all())
        if data.form.target == "regression":
            assert torch.float32 == y.dtype
        else:
            assert torch.int64 == y.dtype
            assert 0 <= int(y.min()) <= int(y.max()) < data.form.outputs
    x, _ = every(data.train)
    if data.form.task == "tabular":
        assert data.form.shape == (data.form.numbers + len(data.form.categories),)
        for place, codes in enumerate(data.form.categories, data.form.numbers):
            assert [*range(1, codes)] == sorted(set(x[:, place].tolist()))
    if data.form.task == "sequence":
        assert int(x.max()) < data.form.vocabulary
    json.dumps([data.encoding, data.facts])


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("encoder", ["standard", "rankgauss"])
def test_the_numbers_of_a_table_have_mean_0_over_training_rows_alone(name: str, encoder: str) -> None:
    data = a_data_set(name, num_encoder=encoder)
    train, val = (every(part)[0].double()[:, : data.form.numbers] for part in (data.train, data.val))
    binary = [place for place in range(data.form.numbers) if set(train[:, place].tolist()) == {0.0, 1.0}]
    others = [place for place in range(data.form.numbers) if place not in binary]
    deviation = train[:, others].std(0, correction=0)

    assert float(train[:, others].mean(0).abs().max()) < 1e-6
    assert float(val[:, others].mean(0).abs().max()) > 1e-4
    if encoder == "standard":
        assert not binary
        assert float((deviation - 1).abs()[deviation > 0].max()) < 1e-5
    assert (1 if name == "synthetic_table" else 0) == int((deviation == 0).sum())


def test_a_regression_target_is_scaled_and_its_scale_is_kept() -> None:
    for norm in ("standard", "log"):
        data = a_data_set("diabetes", target_norm=norm)
        _, y = every(data.train)

        assert abs(float(y.mean())) < 1e-6
        assert 1 == pytest.approx(float(y.std(correction=0)), abs=1e-6)
        assert 25 - 1e-3 <= float(data.scaling.undo(y).min()) <= float(data.scaling.undo(y).max()) <= 346.001
    raw = a_data_set("diabetes", target_norm="none")
    assert (0.0, 1.0, False) == (raw.scaling.center, raw.scaling.scale, raw.scaling.log)
    assert every(raw.train)[1].remainder(1).eq(0).all()


@pytest.mark.parametrize("norm", ["none", "standard", "log"])
def test_the_output_range_is_told_in_scaled_units(norm: str) -> None:
    data = a_data_set("diabetes", target_norm=norm, output_range=[0, 400])
    assert data.form.bounds is not None

    bounds = data.scaling.undo(torch.tensor(data.form.bounds, dtype=torch.float64))
    assert [0, 400] == pytest.approx(bounds.tolist(), abs=1e-9)
    assert a_data_set("diabetes", target_norm=norm).form.bounds is None


@pytest.mark.parametrize(("name", "numbers"), [("digits", 64), ("wine", 13)])
def test_what_is_to_be_rebuilt_is_the_input_and_labels_play_no_part(name: str, numbers: int) -> None:
    data = a_data_set(name, target="reconstruction")
    x, y = every(data.train)

    assert torch.equal(x, y)
    assert ("reconstruction", numbers, None, ()) == (
        data.form.target,
        data.form.outputs,
        data.strata,
        data.frequencies,
    )
    assert a_data_set(name).split_digest != data.split_digest  # without strata


def test_class_shares_and_strata_are_those_of_the_training_rows() -> None:
    data = a_data_set("wine")
    _, y = every(data.train)
    assert data.strata is not None

    assert torch.equal(y, data.strata)
    assert (np.bincount(y.numpy()) / len(y)).tolist() == list(data.frequencies)
    assert 1 == pytest.approx(sum(data.frequencies))
    assert ["class_0", "class_1", "class_2"] == data.encoding["names"]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("digits", ("image", "classification", "none", "none")),
        ("synthetic_table", ("tabular", "classification", "some", "some")),
        ("diabetes", ("tabular", "regression", "none", "none")),
        ("markov", ("sequence", "tokens", "none", "none")),
        ("brackets", ("sequence", "classification", "none", "none")),
    ],
)
def test_the_data_tells_what_the_options_say_of_it(name: str, facts: tuple[str, ...]) -> None:
    config = a_config({"data": name})
    data = load(config, CPU)

    assert facts == tuple(data.facts[fact] for fact in ("task", "target", "categories", "gaps"))
    assert config.resolved == config.told(data.facts).resolved


@pytest.mark.parametrize("name", DATASETS)
def test_all_that_is_known_of_data_before_it_is_read_is_so(name: str) -> None:
    facts = a_data_set(name).facts

    assert set(SEEN) == set(facts)
    assert {fact: Branch({"data": name})[fact] for fact in SEEN} == facts


def test_images_keep_their_shape_and_tables_are_flat() -> None:
    assert (1, 8, 8) == a_data_set("digits").form.shape
    assert (64,) == a_data_set("digits", task="tabular").form.shape


def test_the_split_is_the_same_for_every_seed_and_the_test_part_is_read_in_the_final_stage_alone() -> None:
    variables = ({"HYPERSWEEP_SEED": "1"}, {"HYPERSWEEP_SEED": "2"}, {"HYPERSWEEP_FINAL": "1"})
    one, other, final = (a_data_set("digits", given) for given in variables)

    assert one.split_digest == other.split_digest == final.split_digest
    assert one.digest == other.digest == final.digest
    assert one.test is None
    assert final.test is not None
    assert 359 == len(final.test)


def test_the_fraction_of_a_stage_thins_the_training_rows_out_and_nothing_else() -> None:
    whole = a_data_set("digits")
    fifth = a_data_set("digits", {"HYPERSWEEP_DATA_FRACTION": "0.2"})
    tenth = a_data_set("digits", {"HYPERSWEEP_DATA_FRACTION": "0.2"}, subset_fraction=0.5)

    assert (1079, 216, 108) == (len(whole.train), len(fifth.train), len(tenth.train))
    assert len(whole.val) == len(fifth.val) == len(tenth.val)
    assert whole.split_digest != fifth.split_digest != tenth.split_digest


def test_a_class_that_a_part_lacks_is_named_with_the_part() -> None:
    assert () == a_data_set("digits").notes
    assert () == a_data_set("diabetes").notes
    few = a_data_set("digits", subset_fraction=0.005)  # 5 rows of 10 classes
    (said,) = few.notes
    assert said.startswith("digits: class '")
    assert said.endswith("' has no row in training, nor have 4 other classes")


def test_digests_of_data_and_split_are_the_same_for_ever() -> None:
    data = a_data_set("iris")

    assert ("0d0b536e9361bfe8", "d9f2305c8b9ae0bd") == (data.digest, data.split_digest)


# Trials that share data share its tensors


@pytest.mark.parametrize("name", ["digits", "synthetic_table", "diabetes"])
def test_trials_that_differ_in_their_training_alone_share_the_tensors(name: str) -> None:
    shared: list[dict[str, Any]] = [
        {"lr": 0.5},
        {"width": 16},
        {"batch_size": 7},
        {"optimizer": "sgd"},
        {"l2": 0.1},
    ]
    data = a_data_set(name)

    for options in shared:
        assert data is a_data_set(name, {"HYPERSWEEP_SEED": "5"}, **options)


def test_the_data_depends_on_its_own_options_and_on_no_others() -> None:
    base = Options(data="digits", task="image", num_encoder="quantile", cat_encoder="target")
    config = replace(a_config({}), options=base)
    for name, option in OPTIONS.items():
        for value in option.first_sweep:
            if value == getattr(base, name):
                continue
            other = replace(config, options=replace(base, **{name: value}))
            same = material(config) == material(other)
            assert (name not in MATERIAL and name not in AUGMENTED) == same, name
    assert {"metrics", "emb_dim", "shuffle"} <= {*LATER} <= {entry.name for entry in fields(Options)}


AUGMENTED = {
    "random_resized_crop", "flip", "flip_vertical", "crop_pad", "rotate", "zoom", "jitter", "erase",
    "rand_augment_n", "mixup_alpha", "cutmix_alpha", "noise", "swap_noise", "token_drop", "span_mask",
}  # fmt: skip


def test_how_strongly_images_are_augmented_does_not_change_the_data() -> None:
    plain, weak, strong = (a_data_set("digits", rotate=degrees) for degrees in (0.0, 5.0, 40.0))
    x, _ = every(weak.train)

    assert weak is strong
    assert plain is not weak
    assert 0 == float(x.min())
    assert 1 == float(x.max())
    torch.testing.assert_close(weak.normalise(x), every(plain.train)[0])
    assert torch.equal(every(weak.val)[0], every(plain.val)[0])


def test_raw_rows_are_read_once_for_all_encoders_and_splits() -> None:
    options = (Options(data="wine"), Options(data="wine", num_encoder="rankgauss", split_seed=3, lr=1.0))

    assert read(options[0]) is read(options[1])


def test_one_hot_and_learned_vectors_share_the_codes() -> None:
    onehot, embedding = (a_data_set("synthetic_table", cat_encoder=kind) for kind in ("onehot", "embedding"))
    target = a_data_set("synthetic_table", cat_encoder="target")

    assert onehot is embedding
    assert () == target.form.categories
    assert 7 + 3 * 3 == target.form.numbers


def test_a_table_to_predict_is_encoded_as_the_model_learned_it() -> None:
    options = {"num_encoder": "rankgauss", "cat_encoder": "target"}
    data = a_data_set("synthetic_table", {"HYPERSWEEP_FINAL": "1"}, **options)
    raw = generated("synthetic_table")
    encoder = encode.Encoder.load(json.loads(json.dumps(data.encoding)))
    assert raw.columns is not None
    assert data.test is not None
    x = encoder.rows(raw.columns)

    for part in (data.val, data.test):
        rows = {row.tobytes() for row in every(part)[0].numpy()}
        assert rows <= {row.tobytes() for row in x}
