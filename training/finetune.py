"""Fine-tuning MiniLM on fresh variants of the templates in every epoch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_linear_schedule_with_warmup

from base_model import LogClassifier
from batching import encode, pad
from corpus import Template
from variants import variant

PROBE_SEED = 0
"""One probe for all runs: only runs that start alike may have their weights averaged."""


@dataclass(frozen=True)
class Recipe:
    """What a run can vary."""

    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 1.5e-4
    layer_decay: float = 0.85
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    word_dropout: float = 0.1
    header_share: float = 0.1
    seed: int = 1


def probe(
    templates: list[Template], tokenizer: Tokenizer, steps: int = 1_500, batch_size: int = 1_024
) -> LogClassifier:
    """The pretrained encoder, untouched, under a head that was trained on its vectors.

    A fine-tuning that starts here bends the encoder less than one that starts from a random head, and does better on
    logs unlike the templates (Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022).
    """
    torch.manual_seed(PROBE_SEED)
    rng = random.Random(PROBE_SEED)
    recipe = Recipe()
    model = LogClassifier().eval()
    with torch.no_grad():
        vectors, labels = map(torch.cat, zip(*(
            (model.vectors(**inputs), labels) for inputs, labels in _training_batches(templates, tokenizer, recipe, rng)
        ), strict=True))  # fmt: skip
    optimizer = torch.optim.AdamW(model.classifier.parameters(), lr=5e-2, weight_decay=1e-4)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, steps)
    for _ in range(steps):
        chosen = torch.randint(len(labels), (batch_size,))
        loss = cross_entropy(model.classifier(vectors[chosen]), labels[chosen], label_smoothing=recipe.label_smoothing)
        _step(loss, optimizer, schedule)
    return model


def finetune(
    start: LogClassifier,
    templates: list[Template],
    tokenizer: Tokenizer,
    recipe: Recipe,
    report: Callable[[str], None] = print,
) -> LogClassifier:
    """A classifier of `templates`, in evaluation mode; `start` stays as it is."""
    rng = random.Random(recipe.seed)
    model = deepcopy(start)
    # Frozen word vectors keep words that the corpus lacks where MiniLM put them, near those it has.
    model.bert.embeddings.requires_grad_(False)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe), weight_decay=recipe.weight_decay, fused=True)
    steps = recipe.epochs * -(-len(templates) // recipe.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, int(steps * recipe.warmup_share), steps)
    model.train()
    for epoch in range(recipe.epochs):
        losses = []
        for inputs, labels in _training_batches(templates, tokenizer, recipe, rng):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_fast_bfloat16()):
                logits = model(**inputs)
            loss = cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            _step(loss, optimizer, schedule)
            losses.append(loss.item())
        report(f"seed {recipe.seed}  epoch {epoch + 1}/{recipe.epochs}  loss {np.mean(losses):.3f}")
    return model.eval()


@torch.no_grad()
def average(models: list[LogClassifier], shares: list[float]) -> LogClassifier:
    """One model whose weights are the mean of `models` by their shares, which add up to 1: no slower than one of them."""
    states = [model.state_dict() for model in models]
    mean = deepcopy(models[0])
    mean.load_state_dict({
        name: sum(state[name] * share for state, share in zip(states, shares, strict=True)) for name in states[0]
    })  # fmt: skip
    return mean


def _step(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()


def _fast_bfloat16() -> bool:
    """Without AMX tiles bfloat16 is emulated, and slower than float32."""
    return torch.cpu._is_amx_tile_supported()


def _parameter_groups(model: LogClassifier, recipe: Recipe) -> list[dict[str, object]]:
    """Lower layers learn more slowly: what they know of language is worth keeping."""
    layers = model.bert.encoder.layer
    groups = [
        {"params": list(layer.parameters()), "lr": recipe.learning_rate * recipe.layer_decay ** (len(layers) - depth)}
        for depth, layer in enumerate(layers)
    ]
    return [*groups, {"params": list(model.classifier.parameters()), "lr": recipe.learning_rate}]


def _training_batches(
    templates: list[Template], tokenizer: Tokenizer, recipe: Recipe, rng: random.Random
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """One epoch: a new variant of each template, in batches of similar length, in random order."""
    texts = [variant(template, rng, recipe.header_share, recipe.word_dropout) for template in templates]
    rows = encode(tokenizer, texts)
    # The jitter mixes neighbours anew each epoch.
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]) + rng.uniform(-2, 2))
    batches = [order[start : start + recipe.batch_size] for start in range(0, len(order), recipe.batch_size)]
    rng.shuffle(batches)
    for batch in batches:
        inputs = {name: torch.from_numpy(array) for name, array in pad([rows[index] for index in batch]).items()}
        yield inputs, torch.tensor([templates[index].label for index in batch])
