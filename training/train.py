"""From the corpus to the model folder that ships: `python training/train.py`.

Fine-tunes with several seeds from one start and averages the weights, calibrates, writes the float model to
`build/fp32`, quantises it, measures both, and moves the result to `models/bundled`. Nothing random goes unseeded.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from base_model import LogClassifier
from batching import batches_by_length, encode, pad
from calibrate import apply_calibration, fit_calibration
from card import HELD_OUT, UNSEEN, write_card
from corpus import UNSEEN_CORPUS, Template, load_corpus
from evaluate import LabelledTexts, texts_of_templates, texts_of_tsv
from finetune import Recipe, average, finetune, probe
from graph import build_graph
from keywords import keyword_probabilities
from metrics import Report, measure
from quantise import quantise
from runtime import OnnxClassifier
from splits import Split, split_templates
from tokenizer import TRAINING_MASKS, build_tokenizer, save_tokenizer
from variants import variant

TRAINING = Path(__file__).parent
BUILD = TRAINING / "build"
BUNDLED = TRAINING.parent / "models" / "bundled"
QUANTISATION_TEXTS, QUANTISATION_SEED = 4_000, 1
START_SHARE = 0.2
"""What the pretrained encoder keeps in the average. It knows words that the corpus lacks, so that a model which is drawn
back towards it does better on unfamiliar logs (Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, CVPR 2022)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs every step and prints what it measures."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    split = split_templates(load_corpus())
    print(f"templates: {len(split.train)} to train, {len(split.calibration)} to calibrate, {len(split.test)} held out")
    recipes = [Recipe(epochs=options.epochs, seed=options.seed + run) for run in range(options.runs)]
    model = _trained(split.train, recipes, reuse=options.reuse)
    bundle(model, split, recipes, {path.stem: texts_of_tsv(path) for path in options.measure})
    _move_into_place(BUILD / "bundled", options.out)


def _trained(templates: list[Template], recipes: list[Recipe], reuse: bool) -> LogClassifier:
    """The average of the runs and of the probed model they start from; each is kept in `build/`."""
    if not reuse:
        tokenizer = build_tokenizer(TRAINING_MASKS)
        start = probe(templates, tokenizer)
        _keep(start, "start")
        for recipe in recipes:
            _keep(finetune(start, templates, tokenizer, recipe), f"seed{recipe.seed}")
    runs = [_kept(f"seed{recipe.seed}") for recipe in recipes]
    return average([_kept("start"), *runs], [START_SHARE, *[(1 - START_SHARE) / len(runs)] * len(runs)])


def _keep(model: LogClassifier, name: str) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), BUILD / f"{name}.pt")


def _kept(name: str) -> LogClassifier:
    model = LogClassifier().eval()
    model.load_state_dict(torch.load(BUILD / f"{name}.pt", weights_only=True))
    return model


def bundle(model: LogClassifier, split: Split, recipes: list[Recipe], further_texts: dict[str, LabelledTexts]) -> None:
    """Calibrates and quantises `model`, and writes the folder that ships to `build/bundled`, with its figures."""
    tokenizer = build_tokenizer()
    _calibrate(model, tokenizer, split.calibration)
    _save_float_model(model, tokenizer, BUILD / "fp32")
    _save_quantised_model(BUILD / "fp32", BUILD / "bundled", _quantisation_rows(split.train, tokenizer))
    own = {HELD_OUT: texts_of_templates(split.test), UNSEEN: texts_of_templates(load_corpus(UNSEEN_CORPUS))}
    reports = _reports(own | further_texts)
    write_card(BUILD / "bundled", reports, recipes, split.train)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    recipe = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument(
        "--seed", type=int, default=recipe.seed, help="of the first run; each further run takes the next"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs whose weights are averaged")
    parser.add_argument("--reuse", action="store_true", help="take the runs that the last training left in build/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=BUNDLED, help="folder to put the model into")
    parser.add_argument(
        "--measure", type=Path, nargs="*", default=[], help="TSV files of labelled lines to measure on too"
    )
    return parser.parse_args(arguments)


def _calibrate(model: LogClassifier, tokenizer: Tokenizer, templates: list[Template]) -> None:
    data = texts_of_templates(templates)
    calibration = fit_calibration(_logits(model, tokenizer, data.texts), data.truth)
    apply_calibration(model, calibration)
    print(f"temperature {calibration.temperature:.2f}, shift towards normal {calibration.normal_shift:+.2f}")


@torch.no_grad()
def _logits(model: LogClassifier, tokenizer: Tokenizer, texts: list[str]) -> NDArray[np.float32]:
    rows = encode(tokenizer, texts)
    result = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
    for batch in batches_by_length(rows, padded_tokens=4_096):
        inputs = {name: torch.from_numpy(array) for name, array in pad([rows[index] for index in batch]).items()}
        result[batch] = model(**inputs).numpy()
    return result


def _save_float_model(model: LogClassifier, tokenizer: Tokenizer, folder: Path) -> None:
    """Kept beside the bundle, for comparisons."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    onnx.save(build_graph(model), folder / "model.onnx")


def _save_quantised_model(float_folder: Path, folder: Path, rows: list[list[int]]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(float_folder / name, folder / name)
    quantise(float_folder / "model.onnx", folder / "model.onnx", rows)


def _quantisation_rows(templates: list[Template], tokenizer: Tokenizer) -> list[list[int]]:
    rng = random.Random(QUANTISATION_SEED)
    sample = rng.sample(templates, min(QUANTISATION_TEXTS, len(templates)))
    return encode(tokenizer, [variant(template, rng) for template in sample])


def _reports(measured: dict[str, LabelledTexts]) -> dict[str, dict[str, Report]]:
    """By set and by model, each also printed."""
    classifiers = {
        "float32": OnnxClassifier(BUILD / "fp32").probabilities,
        "int8": OnnxClassifier(BUILD / "bundled").probabilities,
    }
    classifiers["keywords"] = keyword_probabilities
    reports = {
        name: {kind: measure(data.truth, classify(data.texts)) for kind, classify in classifiers.items()}
        for name, data in measured.items()
    }
    for name, by_kind in reports.items():
        for kind, report in by_kind.items():
            print(f"\n{name}, {kind}\n{report}")
    return reports


def _move_into_place(built: Path, destination: Path) -> None:
    """File by file and each at once, so that whoever reads the folder meanwhile finds every file whole."""
    destination.mkdir(parents=True, exist_ok=True)
    for path in sorted(built.iterdir()):
        path.replace(destination / path.name)


if __name__ == "__main__":
    main()
