"""A reference implementation of policy-gradient training in plain PyTorch, without TRL, to test CotmixGRPOTrainer.

Each completion is scored separately, without padding. Formulas: the papers cited in recipes/training/trainers/algorithms.py;
clipping arXiv 1707.06347, eq. 7; sequence-level ratios arXiv 2507.18071, eq. 7; KL arXiv 2402.03300, eq. 4.

As a script under `accelerate launch`, trains each case of `CASES` in all processes and prints its distance from the reference.
"""

import copy
import dataclasses
import itertools
import json
import random
import sys
from pathlib import Path

import torch

PROMPTS = ["01", "0110", "1", "011"]
LIMIT = 6  # tokens of a completion
END = 1  # the end token of character_tokenizer
LEARNING_RATE = 2.0


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration.

    Attributes:
        rows: completions per micro-batch and process.
        per_generation: micro-batches per generation.
        accumulation: micro-batches per optimizer step.
        mu: passes over each generation.
        correction: TRL's `vllm_importance_sampling_mode`, None for sampling without vLLM.
        level: level of the policy ratio, token or sequence.
        missing: whether some of vLLM's log-probs are missing (NaN).
    """

    algorithm: str
    baseline: str | None = None
    rows: int = 4
    per_generation: int = 1
    accumulation: int = 1
    mu: int = 1
    temperature: float = 1.0
    beta: float = 0.0
    epsilon_high: float | None = None
    level: str = "token"
    correction: str | None = None
    missing: bool = False
    mask_truncated: bool = False
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    entropy_coef: float = 0.0
    entropy_quantile: float = 1.0
    model_type: str = "llama"
    group: int = 4
    steps: int = 3

    def __str__(self) -> str:
        changed = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        return ",".join(f"{name}={value}" for name, value in changed.items())


BOUNDS = (0.7, 1.3)  # of the importance-sampling correction


def rollouts(case: Case, generation: int, process: int) -> list[tuple[str, list[int], list[float]]]:
    """One process's part of a generation: (prompt, completion ids, vLLM's log-probs), ordered by group."""
    draw = random.Random(f"{generation}/{process}")
    made = []
    for _ in range(case.rows * case.per_generation // case.group):
        prompt = draw.choice(PROMPTS)
        for _ in range(case.group):
            body = [draw.choice((2, 3, 4)) for _ in range(draw.randint(1, LIMIT))]
            ids = body if len(body) == LIMIT else [*body, END]
            logps = [draw.uniform(-1.8, -1.4) for _ in ids]  # those of a random model are about log(1/5)
            if case.missing:
                logps[-1] = float("nan")
            made.append((prompt, ids, logps))
    return made


def reward(ids: list[int]) -> float:
    """A pseudo-random reward in [0, 1), determined by the completion."""
    return sum(place * token for place, token in enumerate(ids, 1)) % 7 / 7


def score(model, encode, case: Case, prompt: str, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of a completion's tokens and the entropies, both (tokens,), under the distribution that is sampled from."""
    before = encode(prompt)
    logits = model(torch.tensor([[*before, *ids]])).logits[0, len(before) - 1 : -1] / case.temperature
    kept = torch.stack([kept_tokens(case, row) for row in logits.detach()]).scatter(1, torch.tensor(ids).unsqueeze(1), True)
    logps = logits.masked_fill(~kept, -torch.inf).log_softmax(-1)
    entropies = torch.stack([-(row[k].exp() * row[k]).sum() for row, k in zip(logps, kept, strict=True)])
    return logps.gather(1, torch.tensor(ids).unsqueeze(1)).squeeze(1), entropies


def kept_tokens(case: Case, logits: torch.Tensor) -> torch.Tensor:
    """The tokens that min-p, top-k and top-p leave, one after another, (vocabulary,)."""
    probs = logits.softmax(-1)
    probs = torch.where(probs >= case.min_p * probs.max(), probs, 0.0)
    if case.top_k:
        probs = torch.where(probs >= probs.topk(case.top_k).values[-1], probs, 0.0)
    probs = probs / probs.sum()
    order = probs.argsort(descending=True)
    above = probs[order].cumsum(0) - probs[order]  # the mass of the tokens before each
    return (probs > 0) & torch.zeros_like(probs, dtype=torch.bool).scatter(0, order, above < case.top_p)


def advantages_of(case: Case, rewards: torch.Tensor) -> torch.Tensor:
    """The advantage of each completion of all processes, (completions,)."""
    groups = rewards.view(-1, case.group)
    mean = groups.mean(dim=1, keepdim=True)
    baseline = case.baseline or {"reinforce": "batch", "rloo": "leave_one_out"}.get(case.algorithm, "group")
    if case.algorithm in ("grpo", "dapo"):
        return ((groups - mean) / (groups.std(dim=1, keepdim=True) + 1e-4)).flatten()
    if baseline == "batch":
        return rewards - rewards.mean()
    if baseline == "leave_one_out":
        others = (groups.sum(dim=1, keepdim=True) - groups) / (case.group - 1)
        return (groups - others).flatten()
    return (groups - mean).flatten()


def correction_of(case: Case, difference: torch.Tensor) -> torch.Tensor:
    """Importance-sampling ratio, (tokens,) or (1,), from the trainer's log-probs minus vLLM's."""
    level, how = case.correction.split("_")
    ratio = (difference.sum().unsqueeze(0) if level == "sequence" else difference).exp()
    low, high = BOUNDS
    return ratio.clamp(low, high) if how == "truncate" else torch.where((ratio < low) | (ratio > high), 0.0, ratio)


@dataclasses.dataclass
class Row:
    """A completion, with everything that is fixed when it is generated."""

    prompt: str
    ids: list[int]
    advantage: float
    counts: bool  # False for a truncated completion if those are masked
    old: torch.Tensor
    start: torch.Tensor
    weight: torch.Tensor | None


def token_losses(case: Case, row: Row, logps: torch.Tensor, high_entropy: torch.Tensor) -> torch.Tensor:
    """The loss of each token of a completion, (tokens,); without the policy's where the entropy is low."""
    log_ratio = logps - row.old
    ratio = (log_ratio.mean().expand_as(log_ratio) if case.level == "sequence" else log_ratio).exp()
    high = case.epsilon_high or (0.28 if case.algorithm == "dapo" else 0.2)
    loss = -torch.min(ratio * row.advantage, ratio.clamp(1 - 0.2, 1 + high) * row.advantage)
    if row.weight is not None:
        loss = loss * row.weight
    loss = loss * high_entropy
    if case.beta:
        gap = row.start - logps
        loss = loss + case.beta * (gap.exp() - gap - 1)
    return loss


def train(model, encode, case: Case, processes: int):
    """The model after `case.steps` optimizer steps of gradient descent."""
    start, model = model, copy.deepcopy(model)
    passes = case.per_generation * case.mu
    generation: list[list[Row]] = []
    for step in range(case.steps):
        model.zero_grad()
        for micro in range(step * case.accumulation, (step + 1) * case.accumulation):
            if micro % passes == 0:
                generation = _generation(model, start, encode, case, micro // passes, processes)
            first = micro % case.per_generation * case.rows
            tokens = sum(len(row.ids) for rows in generation for row in rows if row.counts)
            for rows in generation:
                _loss(model, encode, case, rows[first : first + case.rows], tokens / processes).div(processes).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= LEARNING_RATE * parameter.grad
    return model


def _generation(model, start, encode, case: Case, number: int, processes: int) -> list[list[Row]]:
    made = [rollouts(case, number, process) for process in range(processes)]
    advantages = advantages_of(case, torch.tensor([reward(ids) for rows in made for _, ids, _ in rows])).tolist()
    places = iter(advantages)
    rows = []
    with torch.no_grad():
        for mine in made:
            rows.append([])
            for prompt, ids, sampled in mine:
                old, _ = score(model, encode, case, prompt, ids)
                counts = not case.mask_truncated or ids[-1] == END
                weight = None
                if case.correction:
                    weight = correction_of(case, torch.nan_to_num(old - torch.tensor(sampled), nan=0.0))
                ref, _ = score(start, encode, case, prompt, ids)
                rows[-1].append(Row(prompt, ids, next(places), counts, old, ref, weight))
    return rows


def _loss(model, encode, case: Case, rows: list[Row], tokens: float) -> torch.Tensor:
    """The loss of one process's micro-batch; `tokens` is the number of tokens per generation and process."""
    scored = [(row, *score(model, encode, case, row.prompt, row.ids)) for row in rows if row.counts]
    every = torch.cat([entropies for *_, entropies in scored]) if scored else torch.zeros(0)
    threshold = every.detach().quantile(1 - case.entropy_quantile) if case.entropy_quantile < 1 else -torch.inf
    total = torch.zeros(())
    for row, logps, entropies in scored:
        loss = token_losses(case, row, logps, entropies >= threshold)
        if case.algorithm == "grpo":
            total = total + loss.mean() / len(rows) / case.accumulation
        elif case.algorithm == "dapo":
            total = total + loss.sum() / tokens * case.per_generation / case.accumulation
        else:
            total = total + loss.sum() / (len(rows) * LIMIT) / case.accumulation
    if case.entropy_coef:
        acting = every[every >= threshold]
        total = total - case.entropy_coef * acting.sum() / max(len(acting), 1) / case.accumulation
    return total + 0.0 * sum(p.sum() for p in model.parameters())  # a zero gradient if no row counts


CONFIGS = {
    "llama": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}


def make_model(model_type: str, folder: str):
    """A tiny random model, saved in `folder` (TRL loads its reference model from there), and its tokenizer."""
    from transformers import AutoModelForCausalLM

    from recipes.training.models import character_tokenizer, make_config

    tokenizer = character_tokenizer("01=")
    config = make_config({"model_type": model_type, "max_position_embeddings": 32, **CONFIGS[model_type]}, tokenizer)
    torch.manual_seed(0)
    if not Path(folder).exists():
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer


def train_with_ours(model, tokenizer, case: Case, processes: int, output_dir: str):
    """The same with CotmixGRPOTrainer, on the same `rollouts`."""
    import trl
    from datasets import Dataset
    from trl.trainer import grpo_trainer

    from recipes.training.trainers.algorithms import choose
    from recipes.training.trainers.grpo import CotmixGRPOTrainer

    class Trainer(CotmixGRPOTrainer):
        def _generate(self, prompts):
            made = rollouts(case, self.generations, self.accelerator.process_index)
            self.generations += 1
            prompt_ids = [tokenizer(prompt)["input_ids"] for prompt, _, _ in made]
            sampled = [logps for _, _, logps in made] if case.correction else None
            texts = [tokenizer.decode(ids) for _, ids, _ in made]
            return prompt_ids, [ids for _, ids, _ in made], None, texts, sampled, {}, None, []

    grpo_trainer.shuffle_sequence_dict = lambda rows: rows  # keep the order of the rows
    args = trl.GRPOConfig(
        output_dir=output_dir,
        per_device_train_batch_size=case.rows,
        steps_per_generation=case.per_generation,
        gradient_accumulation_steps=case.accumulation,
        num_iterations=case.mu,
        num_generations=case.group,
        temperature=case.temperature,
        top_k=case.top_k,
        top_p=case.top_p,
        min_p=case.min_p or None,
        beta=case.beta,
        epsilon_high=case.epsilon_high,
        importance_sampling_level=case.level,
        entropy_coef=case.entropy_coef,
        top_entropy_quantile=case.entropy_quantile,
        mask_truncated_completions=case.mask_truncated,
        max_completion_length=LIMIT,
        max_steps=case.steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        save_strategy="no",
        logging_steps=100,
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        ddp_backend="gloo" if processes > 1 else None,
        ddp_find_unused_parameters=False,
    )
    trainer = Trainer(
        algorithm=dataclasses.replace(choose(case.algorithm, case.baseline, args, ()), resamples=0),
        model=copy.deepcopy(model),
        args=args,
        reward_funcs=lambda completion_ids, **_: [reward(ids) for ids in completion_ids],
        train_dataset=Dataset.from_list([{"prompt": "01"}] * 64),
        processing_class=tokenizer,
    )
    trainer.generations = 0
    if case.correction:
        trainer.use_vllm, trainer.vllm_importance_sampling_mode = True, case.correction
        trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = BOUNDS
    trainer.train()
    return trainer.accelerator.unwrap_model(trainer.model)


def distance(case: Case, processes: int, output_dir: str) -> float:
    """Distance between our parameters and the reference's, relative to how far training moves them."""
    model, tokenizer = make_model(case.model_type, f"{output_dir}/{case.model_type}")
    encode = lambda prompt: tokenizer(prompt)["input_ids"]  # noqa: E731
    wanted, found = train(model, encode, case, processes), train_with_ours(model, tokenizer, case, processes, output_dir)
    flat = [torch.cat([p.detach().flatten() for p in one.parameters()]) for one in (model, wanted, found)]
    moved = (flat[1] - flat[0]).norm()
    return ((flat[2] - flat[1]).norm() / moved).item() if moved > 1e-4 else float("inf")


ALGORITHMS = ("grpo", "dr_grpo", "dapo", "reinforce", "rloo")
MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
SHAPES = (
    {},
    {"accumulation": 3},
    {"per_generation": 2},
    {"per_generation": 2, "accumulation": 2},
    {"per_generation": 2, "accumulation": 4},
    {"mu": 2, "steps": 4},
    {"per_generation": 2, "accumulation": 2, "mu": 2, "steps": 4},
    {"rows": 2, "per_generation": 2, "accumulation": 2},
)
SETTINGS = (
    {"temperature": 0.7},
    {"beta": 0.1, "mu": 2, "steps": 4},
    {"epsilon_high": 0.4, "mu": 3},
    {"level": "sequence", "mu": 2, "steps": 4},
    {"mask_truncated": True, "rows": 8, "per_generation": 2, "accumulation": 2},
    *({"correction": mode} for mode in MODES),
    *({"correction": mode, "missing": True, "per_generation": 2, "accumulation": 2} for mode in MODES),
    {"correction": "token_truncate", "mu": 2, "steps": 4},
    {"top_k": 3, "correction": "token_truncate"},
    {"top_p": 0.7, "temperature": 0.8, "mu": 2, "steps": 4},
    {"min_p": 0.7, "top_k": 3, "top_p": 0.8, "beta": 0.1, "per_generation": 2, "accumulation": 2},
    {"model_type": "gpt2", "per_generation": 2, "accumulation": 2},
    {"correction": "token_truncate", "mask_truncated": True, "per_generation": 2, "accumulation": 2},
)
CASES = [
    Case(algorithm, **more)
    for algorithm, more in itertools.product(ALGORITHMS, (*SHAPES, *SETTINGS))
    if not (algorithm == "dapo" and "epsilon_high" in more)  # DAPO sets its own
]


if __name__ == "__main__":
    from accelerate import PartialState

    state = PartialState(cpu=True, backend="gloo")
    with state.main_process_first():
        for model_type in CONFIGS:
            make_model(model_type, f"{sys.argv[1]}/{model_type}")
    found = {str(case): distance(case, state.num_processes, sys.argv[1]) for case in CASES}
    if state.is_main_process:
        print(json.dumps(found))
