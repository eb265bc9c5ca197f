"""The commands for the model that a sweep leaves: predict with it, measure it, export it."""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from hypersweep.store import StoreError, StoreRefused
from hypersweep.trained import located
from hypersweep.usage import Unusable, need

TRAINER = "hypersweep_trainer"  # by name: it imports torch, which no other command needs


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("rows", metavar="ROWS")
@click.option("--output", metavar="FILE", help="A .csv or .parquet file.  [default: CSV to stdout]")
def predict(model: str, rows: str, output: str | None) -> None:
    """Predict rows with a trained model.

    MODEL is the folder or s3:// URL of a sweep, whose best model counts, of a trial or of one model; or
    sweep://NAME/best. ROWS is a .csv or .parquet file with the columns of training, an .npz file with an
    array x, an image or a folder of them, or a .txt file; - is stdin, which holds CSV or text.
    """
    with _trainer("predict") as trainer:
        words = trainer.run(located(model, _say), rows, output)
    if words:
        click.echo(words, err=True)


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="PATH", help="Rows with their labels.  [default: the data of training]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def evaluate(model: str, data: str | None, as_json: bool) -> None:
    """Measure a trained model on rows that it never saw.

    These are the test split of the data of training, which may lie elsewhere by now: --data names the place.
    Of any other data at PATH all rows are measured, even if training rows are among them.

    MODEL is the folder or s3:// URL of a sweep, whose best model counts, of a trial or of one model; or
    sweep://NAME/best. Every look at the test split makes it a little less of a test: choose by validation,
    then look once.
    """
    with _trainer("evaluate") as trainer:
        found = trainer.run(located(model, _say), data)
    click.echo(_document(found) if as_json else _table(found))


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("out", metavar="OUT")
def export(model: str, out: str) -> None:
    """Export the network of a trained model as a program.

    MODEL is the folder or s3:// URL of a sweep, whose best model counts, of a trial or of one model; or
    sweep://NAME/best. OUT ends in .pt2 (torch.export) or .onnx; OUT.json beside it says how rows become the
    network's input.
    """
    if out.endswith(".onnx"):
        need("onnx", "onnx", "onnxscript")
    with _trainer("export") as trainer:
        files = trainer.run(located(model, _say), out)
    click.echo("\n".join(files))


@contextlib.contextmanager
def _trainer(module: str) -> Iterator[Any]:
    """A module of the trainer; what it cannot use ends the command with a sentence."""
    need("trainer", "torch", "safetensors", "pyarrow")
    sys.path.insert(0, os.getcwd())  # as for trials: a network may be one of the user's own modules
    refused = importlib.import_module(f"{TRAINER}.data.raw").DataError
    try:
        yield importlib.import_module(f"{TRAINER}.serve.{module}")
    except (ValueError, StoreRefused, refused) as error:
        raise Unusable(str(error)) from error
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def _say(words: str) -> None:
    click.echo(words, err=True)


def _table(found: Any) -> str:
    rows = "row" if found.rows == 1 else "rows"
    lines = [f"{found.source}: {found.rows} {rows}"]
    width = max(map(len, found.metrics))
    for name, (value, error) in found.metrics.items():
        lines.append(f"{name:{width}}  {value:.6g}" + ("" if error is None else f" ± {error:.2g}"))
    if any(error is not None for _, error in found.metrics.values()):
        lines.append("±: one standard error, from these rows being a sample; of seeds it says nothing")
    return "\n".join(lines)


def _document(found: Any) -> str:
    metrics = {
        name: {"value": value} | ({} if error is None else {"standardError": error})
        for name, (value, error) in found.metrics.items()
    }
    return json.dumps({"source": found.source, "rows": found.rows, "metrics": metrics}, indent=1)
