"""The Llama recipes fit the cards that they are written for, by the estimate of `launch check`; they were not run on GPUs."""

import json
from dataclasses import replace

import pytest
import yaml

from data_mix.mapping import read_mapping
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from recipes.training.preflight.__main__ import check_config, check_pipeline
from tests.cards import CARDS, SHAPES, environment, save_shape
from tests.conftest import ROOT

STUDIES = {"gsm8k": ("base", "mixture-instruct.yaml"), "math": ("instruct", "mixture-base.yaml")}


@pytest.fixture(scope="module")
def shapes(llama, tmp_path_factory):
    """Folders with the shapes of 1B, 3B and 8B, by size and kind."""
    root = tmp_path_factory.mktemp("shapes")
    return {(s, kind): save_shape(root / f"{s}-{kind}", s, llama[kind]) for s in SHAPES for kind in llama}


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory):
    """By study, problems with prompts and completions as long as its recipes allow: the tiny Llama has a token per byte."""
    root, folders = tmp_path_factory.mktemp("long"), {}
    for study, (kind, _) in STUDIES.items():
        sft, grpo = (read_mapping(ROOT / f"recipes/{study}/llama/{stage}.yaml") for stage in ("sft", "grpo"))
        prompt = grpo["vllm_max_model_length"] - grpo["max_completion_length"] - 60  # the template and special tokens
        solution = sft["max_length"] - prompt - 110
        source = root / f"{study}-source"
        source.mkdir()
        for split, letter in (("train", "a"), ("test", "b")):
            text = {"question": letter * prompt, "answer": f"{letter * solution} <<1+1=2>>2\n#### 2"}
            rows = [{**text, "question": f"{i}{text['question']}"} for i in range(8)]  # as many as processes
            (source / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        form = {"base": {"prompt_format": "plain"}, "instruct": {"prompt_format": "chat"}}[kind]
        raw = {"p_cot": 1.0, "n_train": 2, "n_test": 8, "ngram": None, "sources": [{"task": "gsm8k", "path": str(source)}]}
        folders[study] = str(root / study)
        build(parse_config(raw | form), folders[study])
    return folders


@pytest.fixture(scope="module")
def check(shapes, mixtures, tmp_path_factory):
    """Checks a card's recipe on its card, or with changed fields or another Environment."""
    root = tmp_path_factory.mktemp("check")

    def run(study, card, stage, change=None, where=None):
        base = ROOT / f"recipes/{study}/llama/{card}/{stage}.yaml"
        model = shapes[card.split("-")[0], STUDIES[study][0]]
        fields = {"base": str(base), "mixture": mixtures[study], "model_name_or_path": model, "output_dir": str(root / "run")}
        path = root / "config.yaml"
        path.write_text(yaml.safe_dump(fields | (change or {})))
        findings, memory, cost = check_config(str(path), where or environment(card, stage))
        # the model is as large as a real one, which needs space on a disk, and the mixture is not
        errors = [f for f in findings if f.level == "error" and f.field not in ("disk", "generation_batch_size")]
        return [str(error) for error in errors], memory, cost

    return run


@pytest.mark.parametrize("stage", ["sft", "grpo", "star"])
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("study", STUDIES)
def test_every_recipe_fits_its_card(check, study, card, stage):
    errors, memory, _ = check(study, card, stage)
    assert errors == []
    assert memory.total() <= 0.95 * environment(card, stage).memory  # the CUDA context and fragmentation come on top


def test_8b_full_fine_tuning_does_not_fit_24_gb(check):
    errors, *_ = check("math", "8b-8x80gb", "sft", where=environment("1b-24gb", "sft"))
    assert len(errors) == 1 and "but the GPU has 24.0 GiB" in errors[0] and "use_peft" in errors[0]


def test_without_sleep_mode_training_and_engine_need_memory_together(check):
    _, asleep, _ = check("gsm8k", "3b-80gb", "grpo")
    errors, awake, _ = check("gsm8k", "3b-80gb", "grpo", {"vllm_enable_sleep_mode": False})
    assert awake.parts == asleep.parts and awake.total() == sum(awake.parts.values()) > asleep.total()
    assert "memory" in errors[0]


def test_the_cards_of_a_study_train_on_batches_of_the_same_size():
    for study in STUDIES:
        for stage, rows in (("sft", 64), ("grpo", 1024), ("star", 64)):
            for card, (gpus, *_) in CARDS.items():
                fields = read_mapping(ROOT / f"recipes/{study}/llama/{card}/{stage}.yaml")
                batch = fields["per_device_train_batch_size"] * fields["gradient_accumulation_steps"] * gpus
                assert batch == rows, (study, card, stage)


def test_each_stage_starts_from_what_the_one_before_writes():
    for study in STUDIES:
        for card in CARDS:
            sft, grpo, star = (read_mapping(ROOT / f"recipes/{study}/llama/{card}/{s}.yaml") for s in ("sft", "grpo", "star"))
            run = f"runs/{study}-{card}"
            assert sft["mixture"] == grpo["mixture"] == star["mixture"] == f"{run}/mixture"
            assert sft["output_dir"] == grpo["model_name_or_path"] == star["model_name_or_path"] == f"{run}/sft"
            assert (grpo["output_dir"], star["output_dir"]) == (f"{run}/grpo", f"{run}/star")


def test_cost_is_six_flops_per_parameter_and_token_or_four_with_an_adapter(check):
    """By hand: epochs x rows x tokens of a row; all tokens of a rollout are trained on, and its own are sampled."""
    _, memory, cost = check("gsm8k", "1b-24gb", "sft")
    assert cost.sampled == 0 and cost.flops == 6 * memory.parameters * cost.trained
    assert 3 * 2 * 900 < cost.trained <= 3 * 2 * 1024
    _, memory, cost = check("gsm8k", "8b-lora-80gb", "star")
    assert 8 * 1024 * 8 * 512 < cost.sampled < cost.trained <= 8 * 1024 * 8 * 1024
    trained = (4 * memory.parameters + 2 * memory.trained) * cost.trained
    assert cost.flops == pytest.approx(trained + 2 * memory.parameters * cost.sampled)
    assert replace(cost, flops=0.4 * 312e12 * 3600 * 8).hours(312, 8) == pytest.approx(1)


def test_a_pipeline_is_checked_before_its_model_is_trained(shapes, mixtures, tmp_path):
    """GRPO is checked with the model that SFT starts from: whether it fits is known before SFT takes hours."""
    start, paths = {"sft": shapes["1b", "base"], "grpo": str(tmp_path / "sft")}, []
    for stage, model in start.items():
        fields = {"base": str(ROOT / f"recipes/gsm8k/llama/1b-24gb/{stage}.yaml"), "mixture": mixtures["gsm8k"]}
        paths.append(str(tmp_path / f"{stage}.yaml"))
        where = {"model_name_or_path": model, "output_dir": str(tmp_path / stage)}
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump(fields | where))
    findings, memory, _ = check_pipeline(paths, environment("1b-24gb", "grpo"))[paths[1]]
    notes = [str(finding) for finding in findings if finding.level == "note" and finding.field == "model_name_or_path"]
    assert len(notes) == 1 and notes[0].endswith(f"sft.yaml comes first; checked with {start['sft']}, which it starts from")
    assert memory.parameters > 10**9 and memory.generation() > 0
    findings, *_ = check_pipeline(paths, replace(environment("1b-24gb", "grpo"), memory=20 * 2**30))[paths[1]]
    assert "memory" in [finding.field for finding in findings if finding.level == "error"]
