"""SFTTrainer with less padding: each step runs in micro-batches of similar length (see batching.py)."""

import trl

from recipes.training.trainers.batching import rebatch_by_length


class CotmixSFTTrainer(trl.SFTTrainer):
    """SFTTrainer that sorts the rows of each step by length."""

    def get_batch_samples(self, epoch_iterator, num_batches, device) -> tuple:
        """The micro-batches of a step, and the number of tokens over which its loss is averaged."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        # Without the token count, each micro-batch has its own mean. Packed rows have neither padding nor a mask.
        if tokens is not None and "attention_mask" in batches[0]:
            batches = rebatch_by_length(batches, {"attention_mask": ("input_ids", "labels")})
        return batches, tokens
