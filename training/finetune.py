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
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup

from base_model import load_base
from batching import encode, pad
from corpus import Template
from variants import variant


HEAD_SEED = 0
"""One fresh head for all runs: only runs that start alike may have their weights averaged."""


@dataclass(frozen=True)
class Recipe:
    """What a run can vary."""

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1.5e-4
    layer_decay: float = 0.85
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    word_dropout: float = 0.1
    header_share: float = 0.1
    seed: int = 1


def finetune(
    templates: list[Template], tokenizer: Tokenizer, recipe: Recipe, report: Callable[[str], None] = print
) -> BertForSequenceClassification:
    """A classifier of `templates`, in evaluation mode."""
    torch.manual_seed(HEAD_SEED)
    rng = random.Random(recipe.seed)
    model = load_base()
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
                logits = model(**inputs).logits
            loss = cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        report(f"seed {recipe.seed}  epoch {epoch + 1}/{recipe.epochs}  loss {np.mean(losses):.3f}")
    return model.eval()


@torch.no_grad()
def average(models: list[BertForSequenceClassification]) -> BertForSequenceClassification:
    """One model whose weights are the mean of `models`: steadier than any of them, and no slower."""
    states = [model.state_dict() for model in models]
    mean = deepcopy(models[0])
    mean.load_state_dict({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]})
    return mean


def _fast_bfloat16() -> bool:
    """Without AMX tiles bfloat16 is emulated, and slower than float32."""
    return torch.cpu._is_amx_tile_supported()


def _parameter_groups(model: BertForSequenceClassification, recipe: Recipe) -> list[dict[str, object]]:
    """Lower layers learn more slowly: what they know of language is worth keeping."""
    layers = model.bert.encoder.layer
    groups = [
        {"params": list(layer.parameters()), "lr": recipe.learning_rate * recipe.layer_decay ** (len(layers) - depth)}
        for depth, layer in enumerate(layers)
    ]
    head = [*model.bert.pooler.parameters(), *model.classifier.parameters()]
    return [*groups, {"params": head, "lr": recipe.learning_rate}]


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
