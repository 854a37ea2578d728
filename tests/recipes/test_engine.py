"""What reaches the vLLM engine: stop tokens, sampling filters, and weights as the trainer has them."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from tests.conftest import read_log


@pytest.fixture
def talker(llama, tmp_path):
    """A Llama whose greedy answer to anything is `<|eot_id|>`, and whose generation_config.json does not name it as an end."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama["base"])
    model = AutoModelForCausalLM.from_pretrained(llama["base"], dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()  # the residual stream stays the embedding
        model.model.embed_tokens.weight.fill_(1.0)
        model.lm_head.weight.zero_()
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("<|eot_id|>")] = 1.0
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(tmp_path / "talker")
    tokenizer.save_pretrained(tmp_path / "talker")
    return tmp_path / "talker"


@pytest.mark.slow
def test_every_end_token_ends_a_completion(command, talker, word_problems, tmp_path):
    where = ["--mixture", word_problems["base"], "--model_name_or_path", talker, "--output_dir", tmp_path / "run"]
    size = ["--max_steps", 1, "--per_device_train_batch_size", 8, "--max_completion_length", 12, "--heldout_problems", 2]
    command("recipes/grpo.py", *where, *size, "--vllm_max_model_length", 128, "--report_to", "none")
    first, step, *_ = read_log(tmp_path / "run")
    assert first["heldout/greedy/truncated"] == 0 and step["completions/max_length"] == 1


def logp_gaps(command, run, mixture, model, *fields):
    """Sampler-trainer log-prob gap of each of three steps."""
    where = ["--mixture", mixture, "--model_name_or_path", model, "--output_dir", run]
    size = ["--max_steps", 3, "--per_device_train_batch_size", 32, "--heldout_problems", 2, "--report_to", "none"]
    command("recipes/grpo.py", *where, *size, *fields)
    return [entry["sampling/sampling_logp_difference/mean"] for entry in read_log(run) if "reward" in entry]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        "--use_peft true --lora_dropout 0 --lora_target_modules embed_tokens q_proj --learning_rate 0.1",
        "--top_p 0.8 --temperature 0.9",
        "--top_k 2",
        "--min_p 0.3 --top_p 0.9",
    ],
)
def test_sampler_and_trainer_agree_on_log_probs(command, parity_run, tmp_path, fields):
    gaps = logp_gaps(command, tmp_path / "run", parity_run / "mixture", parity_run / "sft", *fields.split())
    assert len(gaps) == 3 and max(gaps) < 0.01


@pytest.mark.slow
def test_a_model_with_dropout_is_trained_without_it(command, parity_run, tmp_path):
    from recipes.training.models import character_tokenizer, make_config

    tokenizer = character_tokenizer("01=")
    fields = {"n_embd": 64, "n_layer": 1, "n_head": 2, "n_positions": 64, "initializer_range": 0.2}  # resid_pdrop is 0.1
    model = AutoModelForCausalLM.from_config(make_config({"model_type": "gpt2", **fields}, tokenizer))
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "gpt2")
    gaps = logp_gaps(command, tmp_path / "run", parity_run / "mixture", tmp_path / "gpt2")
    assert len(gaps) == 3 and max(gaps) < 0.01
