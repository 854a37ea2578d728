"""The model card of a run, valid for the hub, and what `push_to_hub` uploads."""

import ast
import json
import re
import shutil

import pytest
from huggingface_hub import ModelCard
from trl import SFTConfig

from data_mix.errors import InputError
from recipes.training.checkpoints.card import make_card, push
from recipes.training.preflight.services import check_hub, check_trackers
from tests.conftest import read_log
from tests.local_hub import local_hub


def test_the_card_of_a_run_says_what_it_was_trained_on_and_its_results(parity_run):
    card = ModelCard.load(parity_run / "sft" / "README.md")
    assert (
        card.data.library_name == "transformers" and {"cotmix", "sft"} <= set(card.data.tags) and card.data.base_model is None
    )
    log = [entry for entry in read_log(parity_run / "sft") if "heldout/greedy/accuracy" in entry]
    assert [result.metric_value for result in card.data.eval_results] == [
        round(log[-1][f"heldout/{kind}/accuracy"], 4) for kind in ("greedy", "sampled")
    ]
    for text in (
        "SFT, trained with cotmix",
        "none: trained from scratch (llama)",
        "parity; forms: long 0.25, short 0.75; 3000 train rows, seed 0",
        "| p_cot | 0.25 |",
        "| max_steps | `30` |",
        f"| before training | {log[0]['heldout/greedy/accuracy']:.3f} |",
        f"| after | {log[-1]['heldout/greedy/accuracy']:.3f} |",
    ):
        assert text in card.text
    assert "None" not in card.text


def test_the_code_in_the_card_runs(parity_run, capsys):
    [code] = re.findall(r"```python\n(.*?)```", (parity_run / "sft" / "README.md").read_text(), re.DOTALL)
    exec(compile(ast.parse(code), "card", "exec"), {})
    assert re.match("[01]{16}=", capsys.readouterr().out.splitlines()[-1])


def after_sft(parity_run, folder, **fields):
    """A GRPO run that started from the SFT run, with the fields given."""
    folder.mkdir(parents=True)
    shutil.copy(parity_run / "sft" / "log.jsonl", folder)
    recipe = {"algorithm": "dr_grpo", "rewards": ["answer"], "mixture": str(parity_run / "mixture"), "heldout_problems": 8}
    recipe |= {"model_name_or_path": str(parity_run / "sft")} | fields
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_the_base_model_is_where_the_chain_of_runs_began(parity_run, tmp_path):
    text = make_card(str(after_sft(parity_run, tmp_path / "grpo")), "me/parity-16")
    card = ModelCard(text)
    assert "# parity-16\n\nGRPO after SFT, trained with cotmix." in text and "trained from scratch (llama)" in text
    assert "| algorithm | `dr_grpo` |" in text and "model='me/parity-16'" in text and "grpo" in card.data.tags
    pretrained = after_sft(parity_run, tmp_path / "rl", model_name_or_path="meta-llama/Llama-3.2-1B", mixture="gone/mixture")
    card = ModelCard(make_card(str(pretrained)))
    assert card.data.base_model == "meta-llama/Llama-3.2-1B" and "| p_cot | unknown |" in card.text


def test_the_final_model_is_pushed_with_its_card_and_without_secrets(parity_run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "sft"
    shutil.copytree(parity_run / "sft", folder)
    shutil.copytree(parity_run / "sft", folder / "checkpoint-3")
    args = SFTConfig(
        output_dir=str(folder), hub_model_id="me/parity", hub_token="hf_secret", hub_private_repo=True, use_cpu=True, bf16=False
    )
    with local_hub(monkeypatch) as hub:
        push(args)
    [created] = hub["created"]
    assert created["visibility"] == "private" and created["name"] == "parity" and created["token"] == "Bearer hf_secret"
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json", "recipe.json", "log.jsonl"} <= hub[
        "files"
    ].keys()
    assert hub["files"]["README.md"] == (parity_run / "sft" / "README.md").read_bytes()
    unwanted = [path for path in hub["files"] if "checkpoint" in path or path.endswith(".bin") or ".lock" in path]
    assert unwanted == [] and not any(b"hf_secret" in content for content in hub["files"].values())
    assert "pushed to http://127.0.0.1" in capsys.readouterr().out
    with local_hub(monkeypatch, refuses=True), pytest.raises(InputError, match="cannot be pushed to me/parity"):
        push(args)


def problems(findings):
    return [str(finding) for finding in findings]


def test_a_push_that_cannot_work_is_refused_before_training(tmp_path, monkeypatch):
    import huggingface_hub

    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, push_to_hub=True, hub_strategy="every_save")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    [token] = problems(check_hub(args))
    assert token == "push_to_hub is true, but there is no token; run `hf auth login`, or set HF_TOKEN"
    args.hub_token = "hf_x"
    with local_hub(monkeypatch):
        assert problems(check_hub(args)) == []
        [strategy] = problems(check_hub(args, frozenset(["hub_strategy"])))
    assert strategy.startswith("hub_strategy is every_save, but only the final model is pushed; set it to end")
    with local_hub(monkeypatch, refuses=True):
        [wrong] = problems(check_hub(args))
    assert wrong.startswith("push_to_hub is true, but the hub does not accept the token (") and "hf_x" not in wrong
    [unreachable] = problems(check_hub(args))  # that server is down
    assert unreachable.endswith("); run `hf auth login`, or leave it out")
    args.push_to_hub = False
    assert problems(check_hub(args, frozenset(["hub_strategy"]))) == []


@pytest.mark.parametrize(
    ("report_to", "said"),
    [
        ("wandb", "report_to: wandb is not installed; run `pip install wandb`, or leave it out"),
        ("tensorbord", "report_to: 'tensorbord' is unknown; did you mean 'tensorboard'?"),
        ("tensorboard", None),
        ("none", None),
    ],
)
def test_a_tracker_that_is_missing_is_refused_before_training(tmp_path, report_to, said):
    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=report_to)
    found = problems(check_trackers(args, "sft"))
    assert found == [] if said is None else len(found) == 1 and found[0].startswith(said)
