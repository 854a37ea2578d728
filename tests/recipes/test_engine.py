"""What reaches the vLLM engine: stop tokens with every request, and merged weights that stay as they were pushed."""

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


@pytest.mark.slow
def test_adapters_on_embeddings_reach_the_engine_merged(command, parity_run, tmp_path):
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--output_dir", tmp_path / "run"]
    size = ["--max_steps", 3, "--per_device_train_batch_size", 32, "--heldout_problems", 2, "--report_to", "none"]
    lora = [
        "--use_peft",
        "true",
        "--lora_dropout",
        0,
        "--lora_target_modules",
        "embed_tokens",
        "q_proj",
        "--learning_rate",
        0.1,
    ]
    command("recipes/grpo.py", *where, *size, *lora)
    gaps = [entry["sampling/sampling_logp_difference/mean"] for entry in read_log(tmp_path / "run") if "reward" in entry]
    assert len(gaps) == 3 and max(gaps) < 0.01
