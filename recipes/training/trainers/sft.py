"""SFTTrainer that computes no padding it can do without (see batches.py)."""

import trl

from recipes.training.trainers.batching import by_length


class CotmixSFTTrainer(trl.SFTTrainer):
    """SFTTrainer whose rows of one step are computed in micro-batches of like length."""

    def get_batch_samples(self, epoch_iterator, num_batches, device) -> tuple:
        """The micro-batches of a step, and how many tokens its loss is a mean over."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        # Without that number each micro-batch would have a mean of its own. Packed rows have no padding, and no mask.
        if tokens is not None and "attention_mask" in batches[0]:
            batches = by_length(batches, {"attention_mask": ("input_ids", "labels")})
        return batches, tokens
