"""How good a trained model is on rows that it never saw: those of its test split, or of another file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypersweep_trainer import data, loss, metric, saved
from hypersweep_trainer.data import remote
from hypersweep_trainer.data.raw import DataError, Raw, Rows
from hypersweep_trainer.data.split import Cut
from hypersweep_trainer.options import ON_REQUEST
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.saved import Model
from hypersweep_trainer.serve import given
from hypersweep_trainer.serve.rows import rows

PART = "test"


@dataclass(frozen=True)
class Measured:
    """What some rows say of a model."""

    source: str  # where the rows came from, in words
    rows: int
    metrics: Mapping[str, tuple[float, float | None]]  # each with its standard error of sampling, if known


def run(url: str, place: str | None) -> Measured:
    """Measure the model at a URL on its test split, or on the rows of a file that holds their labels.

    Of a file that holds the very data of training, wherever it lies by now, the test split is measured.
    Raises ValueError and DataError, in one sentence, and StoreError.
    """
    model = saved.opened(url)
    if place is None:
        return measured(model, tested(model), f"the test split of {model.options.data}")
    source = given.named(place)
    with given.told(place):
        known = moved(model, place)
        if known is not None:
            words = f"the test split of {source}, which is the data of training"
            return measured(model, split(model, known, source), words)
        raw = given.known(model, given.read(model, place), source)
        return measured(model, rows(model, raw, slice(None)), source)


def tested(model: Model) -> Rows:
    """The test split of the data that a model was trained on; raises DataError when it is not that data."""
    options = model.options
    try:
        raw = data.read(options)
    except DataError as error:
        raise DataError(
            f"{error}; --data says where the data of training lies, or names other rows"
        ) from error
    if raw.digest != model.about["digest"]:
        raise DataError(
            f"{options.data}: must be the data that the model was trained on, of digest "
            f"{model.about['digest']}, but has digest {raw.digest}"
        )
    return split(model, raw, options.data)


def moved(model: Model, place: str) -> Raw | None:
    """What lies at a place if it is the data of training: a digest does not cover where that lies.

    Raises DataError when nothing lies there.
    """
    if place == given.STDIN:
        return None
    path = remote.fetch(place, model.options.cache_dir).absolute()  # so that it is no name of a data set
    try:
        raw = data.read(replace(model.options, data=str(path)))
    except DataError:  # other rows may have another form
        return None
    return raw if raw.digest == model.about["digest"] else None


def split(model: Model, raw: Raw, name: str) -> Rows:
    """The rows of the data of training that are for testing; raises DataError when there are none."""
    options = model.options
    if not options.test_fraction:
        raise DataError(f"{name}: test_fraction is 0, so no row is for testing; name other rows by --data")
    places = data.divided(raw, options, model.about["resolved"]["fraction"])
    if places.digest != model.about["split"]:
        raise DataError(f"{name}: must be split as in training, but this version splits otherwise")
    if not isinstance(places, Cut):
        return rows(model, raw, places.test)
    (run,) = places.test
    return rows(model, raw, slice(run.start, run.stop))


def measured(model: Model, part: Rows, source: str) -> Measured:
    """All metrics of some rows, those on request too, by names without the part's."""
    if not len(part):
        raise DataError(f"{source}: must hold rows to measure, but holds none")
    found = metric.evaluate(
        model.network,
        part,
        model.form,
        model.scaling,
        Alone(model.device),
        PART,
        loss.build(model.options, model.form, ()),
        ON_REQUEST.get(model.form.target, ()),
    )
    errors = found.errors if len(part) > 1 else {}  # one row does not tell how others would differ
    metrics = {
        name.removeprefix(f"{PART}_"): (value, errors.get(name)) for name, value in found.values.items()
    }
    return Measured(source, len(part), metrics)
