"""recipes/sft.py, a few steps each: from scratch, Llama base and instruct, full and LoRA, two processes."""

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, read_rows
from recipes.training.models import load_tokenizer
from recipes.training.trainers import packed_rows, sft
from tests.conftest import read_log

TINY = ["--max_steps", 2, "--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 1, "--heldout_problems", 2]
TINY += ["--heldout_max_tokens", 8, "--use_cpu", "true", "--report_to", "none", "--logging_steps", 1]


@pytest.mark.parametrize(
    ("config", "kind", "end"),
    [
        ("recipes/gsm8k/llama/3b-8x80gb/sft.yaml", "base", "<|end_of_text|>"),
        ("recipes/math/llama/8b-8x80gb/sft.yaml", "instruct", "<|eot_id|>"),
    ],
)
def test_the_llama_recipes_run_with_a_tiny_llama(command, llama, word_problems, tmp_path, config, kind, end):
    out = tmp_path / "sft"
    where = ["--mixture", word_problems[kind], "--model_name_or_path", llama[kind], "--output_dir", out]
    command("recipes/sft.py", "--config", config, *where, *TINY)
    log = read_log(out)
    assert [e["step"] for e in log if "loss" in e] == [1, 2]
    assert {"heldout/greedy/accuracy", "heldout/sampled/p_long", "heldout/greedy/length/mean"} <= log[0].keys()
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(out)
    ends = tokenizer.convert_ids_to_tokens(GenerationConfig.from_pretrained(out).eos_token_id)
    assert ends[0] == end and len(ends) == 2


def test_the_loss_covers_the_completion_and_one_end_token(llama, word_problems, tmp_path):
    """TRL's batches have labels on the answer and the model's end token only, and one BOS."""
    for kind, end in (("base", "<|end_of_text|>"), ("instruct", "<|eot_id|>")):
        tokenizer = load_tokenizer(llama[kind])
        row = next(r for r in read_rows(str(word_problems[kind]), "train") if r["form"] == "short")
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(llama[kind]),
            args=SFTConfig(output_dir=str(tmp_path), max_length=512, bf16=False, use_cpu=True, report_to="none"),
            train_dataset=Dataset.from_list([{"prompt": row["prompt"], "completion": row["completion"]}]),
            processing_class=tokenizer,
        )
        batch = next(iter(trainer.get_train_dataloader()))
        learned = tokenizer.decode(batch["labels"][0][batch["labels"][0] != -100])
        assert learned == f"#### {row['answer']}{end}"
        assert batch["input_ids"][0].tolist().count(tokenizer.bos_token_id) == 1


class Gradient(TrainerCallback):
    """The gradient of the last step, and the tokens of each forward pass."""

    def on_train_begin(self, args, state, control, model=None, **_):
        self.sizes = []

        def count(model, args, kwargs):
            if torch.is_grad_enabled():  # not in the check before the first step
                self.sizes.append(kwargs["input_ids"].numel())

        model.register_forward_pre_hook(count, with_kwargs=True)

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.value = torch.cat([p.grad.flatten().clone() for p in model.parameters()])


def test_on_cpu_a_micro_batch_runs_in_parts_without_padding_and_with_the_same_gradient(
    llama, word_problems, tmp_path, monkeypatch
):
    rows = [{name: row[name] for name in ("prompt", "completion")} for row in read_rows(str(word_problems["base"]), "train")]
    size = {"max_steps": 1, "per_device_train_batch_size": 8, "bf16": False, "use_cpu": True}
    steps, losses = [], []
    for tokens, padded in ((64, False), (100_000, False), (100_000, True)):
        monkeypatch.setattr(sft, "PART_TOKENS", tokens)
        monkeypatch.setattr(packed_rows, "why_not", lambda *_, padded=padded: "padded" if padded else None)
        trainer = sft.CotmixSFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(llama["base"]),
            args=SFTConfig(output_dir=str(tmp_path), report_to="none", **size),
            train_dataset=Dataset.from_list(rows[:8]),
            processing_class=load_tokenizer(llama["base"]),
            callbacks=[step := Gradient()],
        )
        losses.append(trainer.train().training_loss)
        steps.append(step)
    parts, whole, padded = steps
    assert len(parts.sizes) > 2 and max(parts.sizes) <= 64 and len(whole.sizes) == len(padded.sizes) == 1
    assert sum(parts.sizes) == sum(whole.sizes) < sum(padded.sizes)
    assert losses[:2] == pytest.approx(losses[2:] * 2, rel=1e-5)
    for step in (parts, whole):
        torch.testing.assert_close(step.value, padded.value, rtol=1e-4, atol=1e-6)


def test_lora_saves_merged_weights_that_differ_from_the_initial_ones(command, llama, word_problems, tmp_path):
    from safetensors.torch import load_file

    out = tmp_path / "sft"
    where = ["--mixture", word_problems["base"], "--model_name_or_path", llama["base"], "--output_dir", out]
    lora = ["--use_peft", "true", "--lora_r", 4, "--learning_rate", 0.1, "--warmup_steps", 0]
    command("recipes/sft.py", "--config", "recipes/gsm8k/llama/3b-8x80gb/sft.yaml", *where, *TINY, *lora)
    before, after = load_file(f"{llama['base']}/model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved and all("_proj" in name for name in moved)


@pytest.mark.slow
def test_from_scratch_with_two_processes_under_deepspeed_zero_2(command, tmp_path):
    mixture, out = tmp_path / "mixture", tmp_path / "sft"
    raw = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(mixture))
    launch = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/zero2.yaml", "--num_processes", 2]
    short = ["--max_steps", 2, "--per_device_train_batch_size", 2, "--report_to", "none"]
    save = ["--save_strategy", "steps", "--save_steps", 2, "--logging_steps", 1]
    where = ["--mixture", mixture, "--output_dir", out]
    command(*launch, "--main_process_port", 0, "recipes/sft.py", *where, *short, *save, OMP_NUM_THREADS="1")
    assert [e["step"] for e in read_log(out) if "loss" in e] == [1, 2]
    assert (out / "model.safetensors").is_file()
    shards = [path.name for path in (out / "checkpoint-2").rglob("*zero_pp_rank_*")]
    assert len([name for name in shards if "optim_states" in name]) == 2
