"""Stops a run whose gradients are NaN or infinite, before they reach the weights."""

import math

from recipes.training.errors import TrainingError


class StopOnNonFinite:
    """Mixin for transformers' Trainer, which would go on: it logs the average of earlier losses instead, and trains on NaN."""

    def _get_grad_norm(self, model, grad_norm=None):
        """The gradient norm, which transformers asks for before each optimizer step; NaN or infinite wherever the loss is.

        Under fp16 such steps are expected: the GradScaler or DeepSpeed skips them.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(norm) and not self.args.fp16:
            raise TrainingError(
                f"step {self.state.global_step + 1}: the gradient norm is {float(norm)}, so the loss or its gradient is not "
                "finite; the last complete checkpoint is kept; lower learning_rate, or look at the step's data"
            )
        return norm
