"""Generates completions with vLLM, or with transformers where vLLM is not installed. Both engines have the same interface."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_mix.errors import InputError
from eval.generation.machine import BLOCK, cache_bytes, has_gpu
from eval.model_folder import choose_dtype, load_config, weight_files

MAX_SEQUENCES = 256  # vLLM's batch size (max_num_seqs)
CPU_OPTIONS = {  # of vLLM
    "enforce_eager": True,
    # Chunked prefill rewinds the request's torch.Generator, which only CUDA generators support.
    "enable_chunked_prefill": False,
    "block_size": BLOCK,
}
BATCH = 128  # completions per batch with transformers
VLLM_BATCH = 512  # max_num_seqs of vLLM in star.py
# every sampling parameter that a model's generation_config.json can set
NEUTRAL = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters.

    Attributes:
        n: completions per prompt.
        temperature: 0 is greedy.
        max_tokens: length limit of a completion.
        end_ids: tokens that end a completion.
        stop: texts that end a completion and are not part of it; needed by few-shot prompts.
    """

    n: int
    temperature: float
    max_tokens: int
    end_ids: frozenset[int]
    stop: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """All but `n`, as vLLM's sampling parameters."""
        settings = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return NEUTRAL | settings | {"stop_token_ids": sorted(self.end_ids), "stop": list(self.stop)}


def first_seed(seed: int, number: int, n: int) -> int:
    """The seed of a prompt's first sample, given the run's seed, the prompt's number and n samples per prompt.

    Sample i has this seed + i; vLLM counts in the same way.
    """
    return seed * 1_000_003 + number * n


class LazyEngine:
    """Starts vLLM (transformers where vLLM is not installed) on first use; later calls only load other weights."""

    def __init__(self) -> None:
        self.engine, self.weights, self.max_length = None, None, 0

    def load(self, model: str, tokenizer, max_length: int, seed: int) -> "VLLMEngine | TransformersEngine":
        """The engine with the weights of `model` and the given sampling seed.

        Args:
            model: checkpoint folder or hub id; after the first call, one of the same architecture and precision.
            tokenizer: the model's.
            max_length: prompt + completion, in tokens; with vLLM, later calls cannot raise it.
            seed: sampling seed.

        Raises:
            InputError: if `max_length` is more than vLLM was started for.
        """
        weights = (model, weight_files(model))
        if self.engine is None:
            self.max_length, dtype = max_length, choose_dtype(model)
            if importlib.util.find_spec("vllm"):
                self.engine = VLLMEngine(model, dtype, max_length, seed)
            else:
                self.engine = TransformersEngine(load_model(model, dtype), tokenizer, seed)
        elif isinstance(self.engine, VLLMEngine) and max_length > self.max_length:  # it would silently cut completions off
            problem = f"the engine was started for {self.max_length} tokens, and this eval needs {max_length}"
            raise InputError(problem, "begin with the longest eval, or use another LazyEngine")
        elif weights != self.weights:
            self.engine.load(model)
        self.weights, self.engine.seed = weights, seed
        return self.engine


def load_model(model: str, dtype: str):
    """Loads a checkpoint with transformers, in eval mode, onto the GPU if there is one."""
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, trust_remote_code=False)
    return loaded.to("cuda" if has_gpu() else "cpu").eval()


def engine_options(config, dtype: str, max_length: int) -> dict[str, Any]:
    """vLLM's options for this machine: batch size, KV cache on CPU, and no compilation there.

    Args:
        config: the model's transformers config.
        dtype: float32, bfloat16, float16, or auto.
        max_length: prompt + completion, in tokens.
    """
    return {
        "max_num_seqs": MAX_SEQUENCES,
        "kv_cache_memory_bytes": cache_bytes(config, dtype, max_length, MAX_SEQUENCES),
        "max_num_batched_tokens": max(max_length, 8192),
        **({} if has_gpu() else CPU_OPTIONS),
    }


class VLLMEngine:
    """vLLM in this process."""

    def __init__(self, model: str, dtype: str, max_length: int, seed: int) -> None:
        """Starts the engine; `max_length` is prompt + completion, in tokens."""
        from vllm import LLM

        from eval.patches.vllm import sample_by_inversion

        if not has_gpu():
            sample_by_inversion()
        self.seed = seed
        options = engine_options(load_config(model), dtype, max_length)
        self.llm = LLM(model=model, dtype=dtype, max_model_len=max_length, seed=seed, **options)

    def load(self, model: str) -> None:
        """Loads the weights of another checkpoint of the same architecture."""
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": model})
        self.llm.reset_prefix_cache()

    def stream(
        self, prompt_ids: Sequence[list[int]], sampling: Sampling, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """Yields (number, generated ids of each sample) for each prompt as it finishes.

        Each sample's seed is derived from its prompt's number, so completions depend neither on batching nor on the other
        prompts.

        Args:
            prompt_ids: token ids of each prompt.
            sampling: sampling parameters.
            numbers: the prompts' numbers; by default their positions.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self.llm.llm_engine
        numbers = list(numbers or range(len(prompt_ids)))
        for number, ids in zip(numbers, prompt_ids, strict=True):
            parameters = SamplingParams(
                n=sampling.n,
                seed=first_seed(self.seed, number, sampling.n) if sampling.temperature > 0 else None,
                **sampling.settings,
                detokenize=bool(sampling.stop),
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            engine.add_request(str(number), {"prompt_token_ids": ids}, parameters)
        left = set(numbers)
        try:
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        left.remove(int(output.request_id))
                        yield int(output.request_id), [list(sample.token_ids) for sample in output.outputs]
        finally:  # interrupted: the next call would get their completions
            engine.abort_request([str(number) for number in left])


class TransformersEngine:
    """transformers' `generate`, in batches of prompts of similar length."""

    def __init__(self, model, tokenizer, seed: int) -> None:
        self.model, self.tokenizer, self.seed = model, tokenizer, seed

    def load(self, model: str) -> None:
        """Loads the weights of another checkpoint of the same architecture."""
        self.model = load_model(model, self.model.dtype).to(self.model.device)

    def stream(
        self, prompt_ids: Sequence[list[int]], sampling: Sampling, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """As `VLLMEngine.stream`, with the same seeds; shorter prompts first."""
        from eval.generation.sampler import complete

        n, numbers = sampling.n, numbers or range(len(prompt_ids))
        prompts = [ids for ids in prompt_ids for _ in range(n)]
        seeds = [first_seed(self.seed, number, n) + i for number in numbers for i in range(n)]
        samples: dict[int, list[list[int]]] = {}
        for position, sample in complete(self.model, self.tokenizer, prompts, seeds, sampling.settings, BATCH):
            number = numbers[position // n]
            samples.setdefault(number, []).append(sample.ids)
            if len(samples[number]) == n:
                yield number, samples.pop(number)


def in_order(stream: Iterator[tuple[int, list[list[int]]]]) -> list[list[list[int]]]:
    """Collects a stream; returns the samples of each prompt, ordered by prompt number."""
    return [samples for _, samples in sorted(stream, key=lambda pair: pair[0])]
