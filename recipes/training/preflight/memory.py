"""How much memory a process needs at least: weights, gradients, optimizer, and vLLM's share. Activations come on top.

AdamW with float32 weights: 4 bytes a parameter for the weights, 4 for gradients, 8 for its two moments. DeepSpeed in bf16
holds 2 + 2 and a float32 copy with the moments, 12 (arXiv 1910.02054, section 3.1). ZeRO-2 shares out gradients and optimizer,
ZeRO-3 and FSDP2 the weights too.
"""

from dataclasses import dataclass

from data_mix.errors import InputError
from eval.generation.machine import CACHE_LIMIT, cache_size
from recipes.training.preflight.environment import GIB, Environment

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Memory:
    """Bytes that one process needs, by purpose, and the parameters that they are for."""

    parameters: int
    trained: int
    parts: dict[str, int]

    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """As one line, in GiB."""
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in self.parts.items())
        return f"{self.parameters / 1e6:.1f} M parameters; {parts}; {self.total() / GIB:.2f} GiB a process, without activations"


def empty_model(config):
    """The model on the meta device, without weights."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    with torch.device("meta"):  # by its class: AutoModelForCausalLM would share it out under ZeRO-3
        return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)


def count_parameters(model, model_args) -> tuple[int, int]:
    """All parameters, and those that are trained: an adapter's, with LoRA."""
    import trl

    parameters = sum(p.numel() for p in model.parameters())
    if not model_args.use_peft:
        return parameters, parameters
    from peft import get_peft_model

    adapted = get_peft_model(model, trl.get_peft_config(model_args), low_cpu_mem_usage=True)
    return parameters, sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def estimate(parameters: int, trained: int, dtype: str, half: bool, environment: Environment) -> Memory:
    """What training takes.

    Args:
        parameters: of the model, an adapter not counted.
        trained: parameters that have gradients.
        dtype: of the weights.
        half: whether it computes in 16 bits (`bf16` or `fp16`).
        environment: processes and how they share.
    """
    engine = half and environment.sharding.startswith("zero")  # DeepSpeed's own mixed precision
    size = 2 if engine else BYTES[dtype]
    weights, gradients, optimizer = parameters * size, trained * size, trained * (12 if engine else 2 * size)
    if environment.sharding != "none":
        gradients, optimizer = gradients // environment.processes, optimizer // environment.processes
    if environment.sharding in ("zero3", "fsdp2"):
        weights //= environment.processes
    return Memory(parameters, trained, {"weights": weights, "gradients": gradients, "optimizer": optimizer})


def add_vllm(
    memory: Memory, config, dtype: str, max_length: int, sequences: int, share: float, environment: Environment
) -> Memory:
    """The same with a colocated engine: on a GPU its share of the memory, on CPU its weights and cache.

    Raises:
        InputError: when a GPU's share has no room for the weights and one sequence.
    """
    weights = memory.parameters * BYTES[dtype]
    if not environment.gpu:
        cache = min(cache_size(config, dtype, max_length, sequences), CACHE_LIMIT)
        return Memory(memory.parameters, memory.trained, memory.parts | {"vLLM": weights + cache})
    if environment.memory is None:
        return memory
    have, one = int(share * environment.memory), cache_size(config, dtype, max_length, 1)
    if weights + one > have:
        need = f"the weights ({weights / GIB:.1f} GiB) and a sequence of {max_length} tokens ({one / GIB:.2f} GiB)"
        raise InputError(
            f"vllm_gpu_memory_utilization is {share}: its {have / GIB:.1f} GiB do not hold {need}; "
            "raise it, or vllm_tensor_parallel_size"
        )
    return Memory(memory.parameters, memory.trained, memory.parts | {"vLLM": have})


def check(memory: Memory, environment: Environment) -> None:
    """Raises InputError when a process needs more than there is, with what would help."""
    if environment.memory is None or memory.total() <= environment.memory:
        return
    advice = {
        "none": "shard it (accelerate's zero2.yaml, zero3.yaml, fsdp2.yaml)" if environment.gpu else "take a smaller model",
        "zero2": "share out the weights too (zero3.yaml or fsdp2.yaml)",
    }.get(environment.sharding, "take more processes")
    more = ", lower vllm_gpu_memory_utilization" if "vLLM" in memory.parts and environment.gpu else ""
    more += "" if memory.trained < memory.parameters else ", or train an adapter (use_peft)"
    where = "the GPU" if environment.gpu else "a process"
    raise InputError(
        f"memory: {str(memory).replace('; ', ', ')}, and {where} has {environment.memory / GIB:.1f} GiB; {advice}{more}"
    )
