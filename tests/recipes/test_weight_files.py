"""Checkpoints for servers: complete or not there, in a folder that is ours alone, and training weights stay as they are."""

import os

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from data_mix.errors import InputError
from recipes.training.generation import weight_files


def test_a_checkpoint_in_shards_is_the_model_in_another_precision(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "SHARD", 50_000)
    weight_files.open_folder(tmp_path / "weights")
    model = AutoModelForCausalLM.from_pretrained(llama["base"], dtype="float32")
    path = weight_files.write(tmp_path / "weights", "step-1", model.named_parameters(), model.config, "bfloat16")
    assert len(list(path.glob("*.safetensors"))) > 1
    written = {name: weight for file in path.glob("*.safetensors") for name, weight in load_file(file).items()}
    assert written.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(weight, written[name].float()) for name, weight in model.bfloat16().float().named_parameters())
    assert '"dtype": "bfloat16"' in (path / "config.json").read_text()


def test_a_checkpoint_that_is_not_complete_does_not_have_its_name(llama, tmp_path):
    weight_files.open_folder(tmp_path / "weights")
    model = AutoModelForCausalLM.from_pretrained(llama["base"])

    def interrupted():
        yield from list(model.named_parameters())[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weight_files.write(tmp_path / "weights", "step-1", interrupted(), model.config, "float32")
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [".step-1.part"]
    weight_files.open_folder(tmp_path / "weights")  # the next run removes what a killed one has left
    assert not any((tmp_path / "weights").iterdir())


def test_a_folder_that_is_not_ours_alone_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").write_text("")
    for name in ("open", "link", "file"):
        with pytest.raises(InputError):
            weight_files.open_folder(tmp_path / name)
    weight_files.open_folder(tmp_path / "new" / "weights")
    assert os.stat(tmp_path / "new" / "weights").st_mode & 0o777 == 0o700


def test_merging_an_adapter_does_not_change_the_weights_under_it(llama):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(llama["base"]), LoraConfig(r=4, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with weight_files.unchanged(model):
        model.merge_adapter()
        model.unmerge_adapter()
        assert any(not torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
