"""Recipe configs: YAML and command line, errors of a recipe's process, recipe.json and the output folder."""

import json
import os
import runpy
import sys
from dataclasses import dataclass

import pytest
import yaml

from data_mix.errors import InputError
from recipes.training import config
from recipes.training.preflight.environment import Launch

SFT = "recipes/sft.py"


@dataclass
class Toy:
    steps: int = 1
    model: dict | str | None = None
    rate: float = 0.1
    hub_token: str = "secret"
    eos_token: str | None = None
    verbose: bool = False


@dataclass
class Longer:
    max_steps: int


def write(folder, name, **fields):
    path = folder / name
    path.write_text(yaml.safe_dump(fields))
    return str(path)


def test_the_command_line_overrides_the_file_which_overrides_its_base(tmp_path, monkeypatch):
    monkeypatch.setenv("COTMIX_TEST", "before")
    write(tmp_path, "base.yaml", recipe="sft", steps=2, rate=0.2, model={"width": 1, "depth": 1}, env={"COTMIX_TEST": 1})
    path = write(tmp_path, "any.yaml", base="base.yaml", rate=0.3, model={"depth": 2})
    fields = {
        "steps": 5,
        "rate": 0.3,
        "model": {"width": 1, "depth": 2},
        "hub_token": "secret",
        "eos_token": None,
        "verbose": False,
    }
    read = config.parse_fields("sft", (Toy,), ["--config", path, "--steps", "5"])
    assert read == fields and os.environ["COTMIX_TEST"] == "before"
    toy, *_ = config.parse("sft", (Toy,), ["--steps=5", "--config", path])
    assert vars(toy) == fields | {"given": {"steps", "rate", "model"}} and os.environ["COTMIX_TEST"] == "1"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"env": "A=1"}, "env is 'A=1'; it must be a mapping"),
        ({"recipe": "grpo"}, "not for recipes/sft.py; use a config with"),
        ({"verbose": True}, "verbose does not work in a file; give --verbose on the command line"),
    ],
)
def test_files_that_are_refused(tmp_path, fields, message):
    path = write(tmp_path, "any.yaml", **fields)
    for parse in (config.parse, config.parse_fields):
        with pytest.raises(InputError) as caught:
            parse("sft", (Toy,), ["--config", path])
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        (SFT, ["--learning_rat", "1"], "did you mean 'learning_rate'?"),
        (SFT, ["--max_steps", "many"], "invalid int value"),
        ("recipes/grpo.py", ["--config", "{tmp}/no.yaml"], "no such file"),
        ("recipes/star.py", ["--config", "recipes/parity/sft.yaml"], "`recipe: sft` is not for recipes/star.py"),
        (SFT, ["--output_dir", "{tmp}/used"], "holds another run"),
        ("recipes/star.py", ["--output_dir", "{tmp}/new", "--mixture", "{tmp}/no"], "not a mixture folder"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capfd, recipe, arguments, message):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "model.safetensors").write_text("precious")
    monkeypatch.setattr(sys, "argv", [recipe, *(argument.format(tmp=tmp_path) for argument in arguments)])
    with pytest.raises(SystemExit) as exited:
        runpy.run_path(recipe, run_name="__main__")
    errors = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert exited.value.code == 2 and sum(message in line for line in errors) == 1, errors
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "used" / "model.safetensors").read_text() == "precious"


def test_without_its_checkpoint_grpo_names_the_command_that_trains_one(command, tmp_path):
    done = command("recipes/grpo.py", "--model_name_or_path", tmp_path / "no", check=False, fresh=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr and "`accelerate launch recipes/sft.py" in done.stderr


def test_an_output_folder_with_another_run_is_refused(tmp_path):
    assert not config.check_output_dir(str(tmp_path / "new"))
    (tmp_path / "log.jsonl").write_text("{}")
    with pytest.raises(InputError, match="holds another run"):
        config.check_output_dir(str(tmp_path))


def test_leftovers_of_a_run_that_was_killed_at_its_start_are_accepted(tmp_path):
    for name in (".lock", ".recipe.json.123.part"):
        (tmp_path / name).touch()
    assert not config.check_output_dir(str(tmp_path))


def test_an_extended_run_that_was_interrupted_is_not_finished(tmp_path):
    config.save_config(str(tmp_path), Longer(max_steps=10))
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "checkpoint-10").mkdir()
    assert config.check_output_dir(str(tmp_path), Longer(max_steps=10))
    assert not config.check_output_dir(str(tmp_path), Longer(max_steps=20))
    config.save_config(str(tmp_path), Longer(max_steps=20))  # the longer run starts, and is killed
    assert not config.check_output_dir(str(tmp_path), Longer(max_steps=20))


def test_a_run_is_resumed_with_as_many_processes(tmp_path):
    """Otherwise transformers would take the position in the data for another one, and train on rows twice or not at all."""
    config.save_config(str(tmp_path), Toy(), Launch(2, "none"))
    assert not config.check_output_dir(str(tmp_path), Toy(), Launch(2, "none"))
    for launch, difference in ((Launch(4, "none"), "processes differs: 2 -> 4"), (Launch(2, "zero2"), "sharding differs")):
        with pytest.raises(InputError, match=difference):
            config.check_output_dir(str(tmp_path), Toy(), launch)
    config.save_config(str(tmp_path), Toy())  # as older versions did
    assert not config.check_output_dir(str(tmp_path), Toy(), Launch(4, "none"))


def test_recipe_json_has_all_fields_but_access_tokens(tmp_path):
    config.save_config(str(tmp_path), Toy())
    fields = {"steps": 1, "model": None, "rate": 0.1, "eos_token": None, "verbose": False}
    assert json.loads((tmp_path / "recipe.json").read_text()) == fields


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("http://a:1", ["http://a:1"]),
        (["http://a:1", "http://b:2"], ["http://a:1", "http://b:2"]),
        (None, ["http://127.0.0.1:8000"]),
    ],
)
def test_one_or_several_servers(tmp_path, given, urls):
    """In YAML; on the command line they are words. recipe.json has what was given."""
    from recipes import grpo

    fields = {"mixture": "m", "output_dir": "o", "vllm_server_base_url": given}
    read = config.parse("grpo", grpo.CONFIG_CLASSES, ["--config", write(tmp_path, "grpo.yaml", **fields)])
    assert read[1].server_urls == urls
    assert json.loads(config.dump(*read))["vllm_server_base_url"] == (given and urls)
    read = config.parse("grpo", grpo.CONFIG_CLASSES, ["--mixture", "m", "--output_dir", "o", "--vllm_server_base_url", *urls])
    assert read[1].server_urls == urls
    read[1].vllm_server_base_url = urls[0]  # as TRL takes it
    assert read[1].server_urls == urls[:1]


@pytest.mark.parametrize("half", [False, True])
def test_the_recipe_sets_the_precision_not_the_accelerate_config(tmp_path, monkeypatch, half):
    from recipes import sft

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    fields = {"mixture": "m", "output_dir": "o", "use_cpu": True, "bf16": half}
    read = config.parse("sft", sft.CONFIG_CLASSES, ["--config", write(tmp_path, "sft.yaml", **fields)])
    assert read[1].mixed_precision == ("bf16" if half else "no")
