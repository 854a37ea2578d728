"""Memory of a micro-batch during training: what autograd keeps for the backward pass, and the projection onto the vocabulary.

Counted in a forward pass of one and of two layers with fake tensors, which have shapes and types but no data. So it is exact
for any model, but for what libraries allocate in between.
"""

import copy

# On GPUs, TRL's fused LM head computes the logits of so many tokens and words at a time (trl/kernels/chunked_logprob.py)
TILE_TOKENS, TILE_WORDS = 4096, 32768


def count(config, rows: int, columns: int, dtype: str, autocast: bool, checkpointing: bool, frozen: bool = False) -> int:
    """Bytes that autograd keeps of the layers, for all of them; with checkpointing, of one and the inputs of all.

    With checkpointing, a forward pass needs as much as its copies of the weights, if that is more: autocast casts each weight
    that is trained once and keeps the result until the pass ends. Without it they are part of what autograd keeps.

    Args:
        config: the model's transformers config.
        rows: of a micro-batch.
        columns: tokens of its longest row.
        dtype: of the weights.
        autocast: whether the layers compute in bfloat16 all the same.
        checkpointing: whether all but the inputs of a layer is computed again (gradient_checkpointing).
        frozen: whether these weights are frozen, under an adapter.
    """
    (one, small), (two, large) = (_kept(config, layers, rows, columns, dtype, autocast) for layers in (1, 2))
    layers, layer = config.num_hidden_layers, two - one
    if not checkpointing:
        return one + (layers - 1) * layer
    copies = 0 if frozen or not autocast or dtype != "float32" else 2 * layers * (large - small)
    return max(one, copies) + layers * rows * columns * config.hidden_size * (4 if dtype == "float32" else 2)


def _kept(config, layers: int, rows: int, columns: int, dtype: str, autocast: bool) -> tuple[int, int]:
    """Bytes that autograd keeps of a model with so many layers, besides its parameters; and their number."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
    from transformers.modeling_utils import local_torch_dtype

    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    kept: dict[int, torch.Tensor] = {}  # the tensors, so that no storage is reused
    with FakeTensorMode():
        with local_torch_dtype(getattr(torch, dtype)):
            model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).base_model
        parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor
            return tensor

        ids = torch.zeros(rows, columns, dtype=torch.long)
        saved = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with saved, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    size = sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in parameters)
    return size, model.num_parameters()


def count_logits(config, tokens: int, dtype: str, gpu: bool, filtered: bool) -> int:
    """Bytes of the projection onto the vocabulary and of its gradient.

    Args:
        config: the model's transformers config.
        tokens: that are predicted in a micro-batch.
        dtype: that the model computes in.
        gpu: whether Triton folds a tile in place; on CPU, torch makes float32 copies of it.
        filtered: whether top-k, top-p or min-p need all logits of a micro-batch at once.
    """
    if filtered:  # in float32: the logits, the filtered ones, their log-probs and gradient
        return 4 * tokens * config.vocab_size * 4
    size, gradient = 4 if dtype == "float32" else 2, config.vocab_size * config.hidden_size * 4  # summed in float32
    if gpu:
        return min(tokens, TILE_TOKENS) * min(config.vocab_size, TILE_WORDS) * size + gradient
    from recipes.training.patches.lm_head import TILE  # which imports torch

    return min(tokens * config.vocab_size, TILE) * (size + 3 * 4) + gradient
