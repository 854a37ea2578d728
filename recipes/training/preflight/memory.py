"""Memory of a process: weights, gradients, optimizer state, activations and logits of a micro-batch, and that of generation.

AdamW with float32 weights takes, per parameter, 4 bytes for the weight, 4 for the gradient and 8 for two moments. DeepSpeed in
bf16 takes 2 + 2, and 12 for a float32 copy with the moments (arXiv 1910.02054, section 3.1). ZeRO-2 shards gradients and
optimizer state, ZeRO-3 and FSDP2 the weights, too. DDP reduces a second copy of the gradients, in buckets
(`gradient_as_bucket_view` is off by default).

Not counted: the CUDA context (about half a GiB), DeepSpeed's communication buffers, and fragmentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from data_mix.errors import InputError
from eval.generation.machine import CACHE_LIMIT, cache_size
from recipes.training.preflight import activations
from recipes.training.preflight.environment import GIB, Environment
from recipes.training.preflight.findings import Finding

ADAMW = ("adamw_torch", "adamw_torch_fused")  # the optimizers whose state is counted
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ENGINE = ("vLLM weights", "KV cache")
MICRO_BATCH = ("gradients", "activations", "logits")  # free while the engine generates, between two optimizer steps


@dataclass(frozen=True)
class Memory:
    """The memory of one process.

    Attributes:
        parameters: of the model, without an adapter.
        trained: parameters with gradients.
        parts: bytes by purpose.
        sleeps: whether vLLM's parts are free during training, so that they share the GPU with those of a micro-batch.
        at_most: whether less may be in use, because the optimizer is not AdamW or something is offloaded.
    """

    parameters: int
    trained: int
    parts: dict[str, int]
    sleeps: bool = False
    at_most: bool = False

    def training(self) -> int:
        """What is in use while a micro-batch is trained on, in bytes."""
        return self._sum(without=("generation", *(ENGINE if self.sleeps else ())))

    def generation(self) -> int:
        """What is in use while completions are generated here, in bytes; 0 if none are."""
        return self._sum(without=MICRO_BATCH) if self.parts.keys() & {*ENGINE, "generation"} else 0

    def total(self) -> int:
        """The most that is in use at a time, in bytes."""
        return max(self.training(), self.generation())

    def _sum(self, without: tuple[str, ...]) -> int:
        return sum(size for name, size in self.parts.items() if name not in without)

    def __str__(self) -> str:
        """As one line, in GiB."""
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in self.parts.items())
        text = f"{self.parameters / 1e6:.1f} M parameters, {parts}, {self.total() / GIB:.2f} GiB per process"
        if not self.generation():
            return text
        asleep = ", when vLLM sleeps" if self.sleeps else ""
        return f"{text} ({self.training() / GIB:.2f} in training{asleep}, {self.generation() / GIB:.2f} in generation)"


def empty_model(config):
    """The model on the meta device, without weights."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    with torch.device("meta"):  # by its class: AutoModelForCausalLM would shard it under ZeRO-3
        return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)


def count_parameters(model, model_args) -> tuple[int, int]:
    """The numbers of all parameters and of those with gradients: with LoRA, the adapter's."""
    import trl

    parameters = sum(p.numel() for p in model.parameters())
    if not model_args.use_peft:
        return parameters, parameters
    from peft import get_peft_model

    adapted = get_peft_model(model, trl.get_peft_config(model_args), low_cpu_mem_usage=True)
    return parameters, sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def estimate(parameters: int, trained: int, dtype: str, autocast: bool, environment: Environment) -> Memory:
    """The memory that training takes.

    Args:
        parameters: of the model, without an adapter.
        trained: parameters with gradients.
        dtype: of the weights.
        autocast: whether it computes in 16 bits (`bf16` or `fp16`).
        environment: number of processes and sharding.
    """
    deepspeed = autocast and environment.sharding.startswith("zero")  # DeepSpeed's own mixed precision
    size = 2 if deepspeed else BYTES[dtype]
    adapter = trained if trained < parameters else 0
    own = 2 if deepspeed else 4 if adapter else size  # PEFT keeps an adapter in float32
    weights, gradients, optimizer = parameters * size + adapter * own, trained * own, trained * (12 if deepspeed else 2 * own)
    if environment.sharding != "none":
        gradients, optimizer = gradients // environment.processes, optimizer // environment.processes
    if environment.sharding in ("zero3", "fsdp2"):
        weights //= environment.processes
    parts = {"weights": weights, "gradients": gradients, "optimizer": optimizer}
    if environment.sharding == "none" and environment.processes > 1:
        parts["DDP buckets"] = gradients
    return Memory(parameters, trained, parts)


def add_reference(memory: Memory, dtype: str, environment: Environment) -> Memory:
    """`memory` plus that of a reference model with weights of `dtype`."""
    shards = environment.processes if environment.sharding in ("zero3", "fsdp2") else 1
    return replace(memory, parts=memory.parts | {"reference model": memory.parameters * BYTES[dtype] // shards})


def add_batch(
    memory: Memory, config, batch: tuple[int, int, int], dtype: str, args, environment: Environment, filtered: bool
) -> Memory:
    """`memory` plus that of a micro-batch in training.

    Args:
        memory: so far.
        config: the model's transformers config.
        batch: rows, tokens of the longest one, and tokens that are predicted of it.
        dtype: of the weights.
        args: TRL's config.
        environment: number of processes and sharding.
        filtered: as for `activations.count_logits`.
    """
    rows, columns, predicted = batch
    half = args.bf16 or args.fp16
    deepspeed = half and environment.sharding.startswith("zero")
    weights = "bfloat16" if deepspeed else dtype
    frozen = memory.trained < memory.parameters
    kept = activations.count(config, rows, columns, weights, half and not deepspeed, args.gradient_checkpointing, frozen)
    logits = activations.count_logits(config, rows * predicted, "bfloat16" if half else dtype, environment.gpu, filtered)
    return replace(memory, parts=memory.parts | {"activations": kept, "logits": logits})


def add_vllm(memory: Memory, config, dtype: str, max_length: int, sampling, sequences: int, environment: Environment) -> Memory:
    """`memory` plus that of a colocated engine: on a GPU its share of the GPU's memory, on CPU its weights and KV cache.

    Args:
        memory: so far.
        config: the model's transformers config.
        dtype: that it computes in.
        max_length: tokens of a sequence.
        sampling: the config with the engine's fields.
        sequences: batch size.
        environment: of the process.

    Raises:
        InputError: if the share of a GPU cannot hold the weights and one sequence of `max_length` tokens.
    """
    weights = memory.parameters * BYTES[dtype]
    if not environment.gpu:
        cache = min(cache_size(config, dtype, max_length, sequences), CACHE_LIMIT)
        return replace(memory, parts=memory.parts | {"vLLM weights": weights, "KV cache": cache})
    if environment.memory is None:
        return memory
    utilization, sleeps = sampling.vllm_gpu_memory_utilization, getattr(sampling, "vllm_enable_sleep_mode", True)
    split = getattr(sampling, "vllm_tensor_parallel_size", 1)  # each GPU holds a part of the layers and of the cache
    reserved, cache = int(utilization * environment.memory), cache_size(config, dtype, max_length, 1) // split
    weights //= split
    if weights + cache > reserved:
        need = f"the weights ({weights / GIB:.1f} GiB) and a sequence of {max_length} tokens ({cache / GIB:.2f} GiB)"
        problem = f"vllm_gpu_memory_utilization is {utilization}: {reserved / GIB:.1f} GiB do not hold {need}"
        raise InputError(problem, "raise it, or vllm_tensor_parallel_size")
    return replace(memory, parts=memory.parts | {"vLLM weights": weights, "KV cache": reserved - weights}, sleeps=sleeps)


def add_generation(memory: Memory, config, dtype: str, max_length: int, sequences: int, environment: Environment) -> Memory:
    """`memory` plus that of generation through transformers: KV cache, logits, and with ZeRO-3 all weights.

    Args:
        memory: so far.
        config: the model's transformers config.
        dtype: of the weights, and so of the KV cache: RoPE takes keys out of autocast's 16 bits.
        max_length: tokens of a sequence.
        sequences: batch size.
        environment: of the process.
    """
    used = cache_size(config, dtype, max_length, sequences)
    used += 4 * sequences * config.vocab_size * 4  # in float32: logits, log-probs, their cumulative sums, what is left of them
    if environment.sharding == "zero3":
        used += memory.parameters * BYTES[dtype]
    return replace(memory, parts=memory.parts | {"generation": used})


def check(memory: Memory, environment: Environment) -> Iterator[Finding]:
    """A process that needs more memory than it has."""
    if environment.memory is None or memory.total() <= environment.memory:
        return
    fixes = {
        "none": "shard it (accelerate's zero2.yaml, zero3.yaml, fsdp2.yaml)" if environment.gpu else "take a smaller model",
        "zero2": "shard the weights, too (zero3.yaml or fsdp2.yaml)",
    }
    fix = fixes.get(environment.sharding, "use more processes")
    fix += ", lower vllm_gpu_memory_utilization" if "KV cache" in memory.parts and environment.gpu else ""
    if memory.parts.get("activations", 0) + memory.parts.get("logits", 0) > memory.total() // 4:
        fix += ", lower per_device_train_batch_size, set gradient_checkpointing"
    if memory.parts.get("generation", 0) > memory.total() // 4:
        fix += ", lower per_device_train_batch_size, steps_per_generation or heldout_max_tokens"
    fix += "" if memory.trained < memory.parameters else ", or train an adapter (use_peft)"
    device = "the GPU" if environment.gpu else "a process"
    problem = f"{memory}, but {device} has {environment.memory / GIB:.1f} GiB"
    if memory.at_most:
        yield Finding("memory", f"{problem}; this counts AdamW, and nothing as offloaded", "watch the first step", "note")
    else:
        yield Finding("memory", problem, fix)
