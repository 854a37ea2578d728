"""Wrong input to a recipe: one line, exit code 2, no model loaded, nothing overwritten."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from data_mix.errors import InputError
from data_mix.mapping import read_mapping
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from eval.generation.tokens import end_ids
from recipes.training.config import check_output_dir
from recipes.training.models import character_tokenizer, load_tokenizer, make_config
from tests.data_mix.helpers import make_unreadable

SFT, GRPO, STAR = "recipes/sft.py", "recipes/grpo.py", "recipes/star.py"


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity") / "mixture"
    raw = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(folder))
    build(parse_config({**raw, "prompt_format": "chat"}), str(folder.parent / "chat"))
    for split in ("train", "test"):
        lines = [{"question": f"{split} {i}?", "solution": f"So {i}.", "answer": f"{i}"} for i in range(4)]
        (folder.parent / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    mine = {"task": "records", "name": "mine", "path": str(folder.parent), "solution": "solution", "answer": "answer"}
    words = {"answer_style": "boxed", "prompt_format": "plain", "n_train": 4, "n_test": 1, "sources": [mine]}
    build(parse_config({**raw, **words}), str(folder.parent / "words"))
    make_unreadable(folder.parent / "words", "mine/train/3")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A parity model of 8 positions: too few for its prompts and completions."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("model")
    tokenizer = character_tokenizer("01=")
    fields = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = make_config({**fields, "num_attention_heads": 1, "max_position_embeddings": 8}, tokenizer)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_unknown_field_gets_the_nearest_known_name(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text("learning_rat: 1e-3")
    with pytest.raises(InputError, match="unknown field 'learning_rat'; did you mean 'learning_rate'?"):
        read_mapping(path, ["learning_rate", "max_steps"])


def test_an_output_folder_with_another_run_in_it_is_refused(tmp_path):
    check_output_dir(str(tmp_path / "new"))
    (tmp_path / "log.jsonl").write_text("{}")
    with pytest.raises(InputError, match="holds another run"):
        check_output_dir(str(tmp_path))


def test_a_run_that_was_killed_before_its_first_file_was_whole_may_begin(tmp_path):
    for name in (".lock", ".recipe.json.123.part"):
        (tmp_path / name).touch()
    check_output_dir(str(tmp_path))


def wrong_inputs(mixture, checkpoint, tmp_path):
    """(recipe, arguments, what is said) of each kind of wrong input."""
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(yaml.safe_dump({"mixture": str(mixture), "learning_rat": 1e-3}))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "recipe.json").touch()
    used = tmp_path / "used"
    used.mkdir()
    (used / "model.safetensors").write_text("precious")
    chat_mixture = mixture.parent / "chat"
    words = ["--mixture", mixture.parent / "words"]
    here, new = ["--mixture", mixture], ["--output_dir", tmp_path / "new"]
    start = ["--model_name_or_path", checkpoint]
    nowhere = ["--model_name_or_path", "checkpoints/none"]
    return {
        "unknown YAML field": (SFT, ["--config", unknown], "did you mean 'learning_rate'?"),
        "unknown argument": (SFT, ["--learning_rat", "1"], "did you mean 'learning_rate'?"),
        "missing config": (GRPO, ["--config", tmp_path / "no.yaml"], "no such file"),
        "missing mixture": (SFT, ["--mixture", tmp_path / "no", *new], "python -m data_mix build"),
        "missing model": (GRPO, [*here, *new, "--model_name_or_path", tmp_path / "no"], "accelerate launch recipes/sft.py"),
        "missing folder of models": (SFT, [*here, *new, *nowhere], "(checkpoints does not exist)"),
        "missing folder of models, GRPO": (GRPO, [*here, *new, *nowhere], "(checkpoints does not exist)"),
        "missing folder of models, STaR": (STAR, [*here, *new, *nowhere], "(checkpoints does not exist)"),
        "groups": (GRPO, [*here, *new, *start, "--per_device_train_batch_size", 30, "--num_generations", 8], "divisible"),
        "context": (GRPO, [*here, *new, *start], "more than the context of 8"),
        "reward": (GRPO, [*here, *new, *start, "--rewards", "answr"], "did you mean 'answer'?"),
        "chain": (GRPO, [*words, *new, *start, "--rewards", "chain"], "need problems whose chain can be checked"),
        "unreadable gold": (GRPO, [*words, *new, *start], "1 gold answers cannot be read by the verifier: mine/"),
        "config of a run that a crash left empty": (SFT, [*here, "--output_dir", empty], "recipe.json cannot be read"),
        "output folder in use": (SFT, [*here, "--output_dir", used], "holds another run"),
        "rows over max_length": (SFT, [*here, *new, "--max_length", 12], "raise max_length"),
        "grouped forms": (SFT, [*here, *new, "--train_sampling_strategy", "group_by_length"], "biases p_long"),
        "not a mapping": (SFT, [*here, *new, "--model_config", "llama"], "must be a mapping"),
        "no template": (GRPO, ["--mixture", chat_mixture, *new, *start], "no chat template"),
        "missing template": (SFT, [*here, *new, "--chat_template_path", "no.jinja"], "no such file"),
        "unknown architecture": (SFT, [*here, *new, "--model_config", '{"model_type": "lama"}'], "lama"),
        "not a number": (SFT, [*here, *new, "--max_steps", "many"], "invalid int value"),
    }


KINDS = [
    "unknown YAML field",
    "unknown argument",
    "missing config",
    "missing mixture",
    "missing model",
    "missing folder of models",
    "missing folder of models, GRPO",
    "missing folder of models, STaR",
    "groups",
    "context",
    "reward",
    "chain",
    "unreadable gold",
    "config of a run that a crash left empty",
    "output folder in use",
    "rows over max_length",
    "grouped forms",
    "not a mapping",
    "no template",
    "missing template",
    "unknown architecture",
    "not a number",
]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_is_a_line_and_exit_code_2(mixture, checkpoint, tmp_path, monkeypatch, capfd, kind):
    recipe, args, said = wrong_inputs(mixture, checkpoint, tmp_path)[kind]
    monkeypatch.setattr(sys, "argv", [recipe, *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(recipe, run_name="__main__")
    errors = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert ended.value.code == 2 and sum(said in line for line in errors) == 1, errors
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "used" / "model.safetensors").read_text() == "precious"


def test_without_its_checkpoint_the_default_says_which_command_makes_it(command, mixture, tmp_path):
    done = command("recipes/grpo.py", "--model_name_or_path", tmp_path / "no", "--mixture", mixture, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr and "`accelerate launch recipes/sft.py" in done.stderr


def test_check_passes_a_good_config_and_writes_nothing(command, mixture, tmp_path):
    config = tmp_path / "sft.yaml"
    fields = yaml.safe_load(Path("recipes/parity/sft.yaml").read_text())
    config.write_text(yaml.safe_dump({**fields, "mixture": str(mixture), "output_dir": str(tmp_path / "out")}))
    assert "passes" in command("-m", "launch", "check", config).stdout
    assert not (tmp_path / "out").exists()


def test_a_character_tokenizer_has_the_tokens_it_says_and_no_others(tmp_path):
    tokenizer = character_tokenizer("01=")
    assert tokenizer.get_vocab() == {"<pad>": 0, "<end>": 1, "0": 2, "1": 3, "=": 4}
    assert tokenizer("01=1<end>")["input_ids"] == [2, 3, 4, 3, 1]
    assert tokenizer.decode([2, 3, 1], skip_special_tokens=True) == "01"
    with pytest.raises(InputError, match="list each character once"):
        character_tokenizer("011")


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "mistral"])
def test_a_model_from_scratch_takes_its_vocabulary_from_the_tokenizer(model_type):
    from transformers import AutoModelForCausalLM

    from eval.generation.tokens import context_length

    tokenizer = character_tokenizer("01=")
    fields = {"model_type": model_type, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = make_config({**fields, "max_position_embeddings": 40}, tokenizer)
    model = AutoModelForCausalLM.from_config(config)
    assert model.get_input_embeddings().num_embeddings == 5 and context_length(config) == 40


def test_llama_tokenizers_stop_at_both_end_tokens_and_pad_with_neither(llama):
    for kind, own in (("base", "<|end_of_text|>"), ("instruct", "<|eot_id|>")):
        tokenizer = load_tokenizer(llama[kind])
        names = tokenizer.convert_ids_to_tokens(end_ids(tokenizer))
        assert names[0] == own and set(names) == {"<|end_of_text|>", "<|eot_id|>"}
        assert tokenizer.pad_token == "<|finetune_right_pad_id|>"


def test_recipes_write_down_how_they_were_made(tmp_path):
    from dataclasses import dataclass

    from recipes.training.config import save_config

    @dataclass
    class Part:
        a: int = 1
        hub_token: str = "secret"

    save_config(str(tmp_path), Part())
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"a": 1}
