"""Completions from a model: through vLLM, or through transformers where vLLM is not installed. Both take and give the same."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SEQUENCES = 256  # that vLLM generates at a time


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        n: completions a prompt.
        temperature: 0 is greedy.
        max_tokens: of a completion.
        end_ids: tokens that end it, and are no part of it.
        stop: texts that end it, and are no part of it either, as few-shot prompts need them.
    """

    n: int
    temperature: float
    max_tokens: int
    end_ids: frozenset[int]
    stop: tuple[str, ...] = ()


class Engine:
    """vLLM, or transformers where it is not installed: started when it is first needed, given other weights after that."""

    def __init__(self, seed: int) -> None:
        self.seed, self.started, self.model = seed, None, None

    def start(self, model: str, dtype: str, tokenizer, max_length: int) -> "VLLMEngine | TransformersEngine":
        """The engine with the weights of `model`; `max_length` is prompt + completion, in tokens, and that of the first."""
        if self.started is None:
            if importlib.util.find_spec("vllm"):
                self.started = VLLMEngine(model, dtype, max_length, self.seed)
            else:
                self.started = TransformersEngine(load_model(model, dtype), tokenizer, self.seed)
        elif model != self.model:
            self.started.load(model)
        self.model = model
        return self.started


def load_model(model: str, dtype: str):
    """A checkpoint through transformers, for generating."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()


class VLLMEngine:
    """vLLM on a checkpoint folder, in this process."""

    def __init__(self, model: str, dtype: str, max_length: int, seed: int) -> None:
        """Starts the engine; `max_length` is prompt + completion, in tokens."""
        from vllm import LLM

        from eval.generation.machine import cache_bytes, has_gpu
        from eval.patches.vllm import sample_by_inversion

        if not has_gpu():
            sample_by_inversion()
        self.seed = seed
        self.llm = LLM(
            model=model,
            dtype=dtype,
            max_model_len=max_length,
            max_num_seqs=SEQUENCES,
            kv_cache_memory_bytes=cache_bytes(model, dtype, max_length, SEQUENCES),
            seed=seed,
            enforce_eager=not has_gpu(),
            # A prompt prefilled in pieces rewinds its request's generator, which only CUDA's can do.
            enable_chunked_prefill=has_gpu(),
            max_num_batched_tokens=max(max_length, 8192),
        )

    def load(self, model: str) -> None:
        """Takes the weights of another checkpoint of the same model."""
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": model})
        self.llm.reset_prefix_cache()

    def stream(
        self, prompt_ids: Sequence[list[int]], sampling: Sampling, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """Yields (number, lists of generated ids) of each prompt as it finishes.

        Every sample has a seed of its own, made of the prompt's number (its place, if `numbers` are not given), so that neither
        batching nor what else is asked changes anything.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self.llm.llm_engine
        for number, ids in zip(numbers or range(len(prompt_ids)), prompt_ids, strict=True):
            parameters = SamplingParams(
                n=sampling.n,
                temperature=sampling.temperature,
                max_tokens=sampling.max_tokens,
                # vLLM counts on from it
                seed=self.seed * 1_000_003 + number * sampling.n if sampling.temperature > 0 else None,
                stop_token_ids=list(sampling.end_ids),
                stop=list(sampling.stop),
                detokenize=bool(sampling.stop),
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            engine.add_request(str(number), {"prompt_token_ids": ids}, parameters)
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    yield int(output.request_id), [list(sample.token_ids) for sample in output.outputs]


class TransformersEngine:
    """transformers' own generate, in batches of prompts of similar length."""

    def __init__(self, model, tokenizer, seed: int, batch_size: int = 128, synced: bool = False) -> None:
        """`synced`: processes that share the model's weights between them generate until the last of them has finished."""
        self.model, self.tokenizer, self.seed, self.batch_size, self.synced = model, tokenizer, seed, batch_size, synced

    def load(self, model: str) -> None:
        """Takes the weights of another checkpoint of the same model."""
        self.model = load_model(model, self.model.dtype).to(self.model.device)

    def stream(
        self, prompt_ids: Sequence[list[int]], sampling: Sampling, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """Yields (number, lists of generated ids) of each prompt, shorter prompts first."""
        import torch

        n = sampling.n
        numbers = numbers or range(len(prompt_ids))
        settings = {"do_sample": False}
        if sampling.temperature > 0:
            settings = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        if sampling.stop:
            settings |= {"stop_strings": list(sampling.stop), "tokenizer": self.tokenizer}
        order = sorted(range(len(prompt_ids)), key=lambda i: len(prompt_ids[i]))
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                batch = {"input_ids": [prompt_ids[i] for i in chosen]}
                batch = self.tokenizer.pad(batch, padding_side="left", return_tensors="pt").to(self.model.device)
                out = self.model.generate(
                    **batch,
                    **settings,
                    max_new_tokens=sampling.max_tokens,
                    num_return_sequences=n,
                    eos_token_id=list(sampling.end_ids),
                    pad_token_id=self.tokenizer.pad_token_id,
                    synced_gpus=self.synced,
                )
                new = out[:, batch["input_ids"].shape[1] :].tolist()
                for row, i in enumerate(chosen):
                    yield numbers[i], new[row * n : (row + 1) * n]


def in_order(stream: Iterator[tuple[int, list[list[int]]]]) -> list[list[list[int]]]:
    """A stream's samples, by the prompts' numbers."""
    return [samples for _, samples in sorted(stream, key=lambda pair: pair[0])]
