"""SFTTrainer with less padding: each step runs in micro-batches of similar length, on CPU in small parts without padding.

It overrides TRL's private `_total_train_tokens` as well, so that a resumed run continues the count of tokens. Remove when: TRL
keeps the count in the trainer's state, as GRPOTrainer does.
"""

import torch
import trl
from accelerate.utils import DistributedType
from tqdm.auto import tqdm

from recipes.training.checkpoints.card import OwnCard
from recipes.training.trainers import packed_rows
from recipes.training.trainers.batching import PART_TOKENS, rebatch_by_length, split_by_tokens
from recipes.training.trainers.finite import StopOnNonFinite

MASKS = {"attention_mask": ("input_ids", "labels")}


class CotmixSFTTrainer(OwnCard, StopOnNonFinite, trl.SFTTrainer):
    """SFTTrainer that sorts the rows of each step by length."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        packed_rows.register()
        self.packs: bool | None = None  # None: undecided before the first step

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
            batches = rebatch_by_length(batches, MASKS)
        return batches, tokens

    def training_step(self, model, inputs: dict, num_items_in_batch=None) -> torch.Tensor:
        """Trains on a micro-batch and returns its loss.

        A CPU is faster with fewer rows at a time (tests/bench/README.md), so there a micro-batch runs in parts, and the
        activations of only one part are in memory. A part has no padding where the model can do without (packed_rows.py). As
        in `get_batch_samples`, the loss must be a sum over tokens, which the router loss of a mixture of experts is not.
        """
        alone = self.accelerator.distributed_type == DistributedType.NO and self.args.device.type == "cpu"
        if not alone or num_items_in_batch is None or "attention_mask" not in inputs or self.aux_loss_enabled:
            return super().training_step(model, inputs, num_items_in_batch)
        if self.packs is None:
            reason = packed_rows.why_not_here(self, model, self._run_both_ways, "sdpa")
            self.packs = reason is None
            if reason:
                tqdm.write(f"rows are padded: {reason}")
        packs = self.packs and inputs.keys() == {"input_ids", "labels", "attention_mask"}
        loss = torch.zeros(())
        for part in split_by_tokens(inputs, MASKS, PART_TOKENS, padded=not packs):
            rows = packed_rows.without_padding(part) if packs else part
            loss = loss + super().training_step(model, rows, num_items_in_batch)
        return loss

    @torch.no_grad()
    def _run_both_ways(self, model, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of random tokens, without padding and with it."""
        ids = torch.randint(vocabulary, (3, 8), generator=torch.Generator().manual_seed(0))
        mask = packed_rows.token_mask(torch.tensor([8, 5, 2]))
        batch = {"input_ids": ids, "labels": ids, "attention_mask": mask.long()}
        row = packed_rows.without_padding(batch)
        training = model.training
        model.eval()  # without dropout
        with self.accelerator.autocast():
            padded = model(input_ids=ids, attention_mask=batch["attention_mask"], use_cache=False).logits[mask]
            packed = model(**{name: row[name] for name in row.keys() - {"labels"}}, use_cache=False).logits[0]
        model.train(training)
        return packed.float(), padded.float()
