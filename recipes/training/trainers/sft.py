"""SFTTrainer with less padding: each step runs in micro-batches of similar length (see batching.py).

It overrides TRL's private `_total_train_tokens` as well, so that a resumed run continues the count of tokens. Remove when: TRL
keeps the count in the trainer's state, as GRPOTrainer does.
"""

import trl

from recipes.training.checkpoints.card import OwnCard
from recipes.training.trainers.batching import rebatch_by_length
from recipes.training.trainers.finite import StopOnNonFinite


class CotmixSFTTrainer(OwnCard, StopOnNonFinite, trl.SFTTrainer):
    """SFTTrainer that sorts the rows of each step by length."""

    @property
    def _total_train_tokens(self) -> int:
        return self.state.num_input_tokens_seen

    @_total_train_tokens.setter
    def _total_train_tokens(self, count: int) -> None:
        self.state.num_input_tokens_seen = count

    def get_batch_samples(self, epoch_iterator, num_batches, device) -> tuple:
        """The micro-batches of a step, and the number of tokens over which its loss is averaged."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        # Without the token count, each micro-batch has its own mean. Packed rows have neither padding nor a mask.
        if tokens is not None and "attention_mask" in batches[0]:
            batches = rebatch_by_length(batches, {"attention_mask": ("input_ids", "labels")})
        return batches, tokens
