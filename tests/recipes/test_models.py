"""Models and tokenizers: from scratch and from a checkpoint."""

import pytest
import torch

from data_mix.errors import InputError
from eval.generation.tokens import context_length, end_ids
from recipes.training import models
from recipes.training.models import character_tokenizer, characters_of, load_tokenizer, make_config


def test_a_character_tokenizer_has_one_token_per_character():
    tokenizer = character_tokenizer("01=")
    assert tokenizer.get_vocab() == {"<pad>": 0, "<end>": 1, "0": 2, "1": 3, "=": 4}
    assert tokenizer("01=1<end>")["input_ids"] == [2, 3, 4, 3, 1]
    assert tokenizer.decode([2, 3, 1], skip_special_tokens=True) == "01"
    with pytest.raises(InputError, match="list each character once"):
        character_tokenizer("011")


def test_the_characters_of_a_mixture_make_a_tokenizer_that_encodes_every_row():
    rows = [{"prompt": "b+a=", "completion": "1\n\n#### 10"}, {"prompt": "c", "completion": "é"}]
    characters = characters_of(rows)
    assert characters == "\n #+01=abcé"
    tokenizer = character_tokenizer(characters)
    for text in (text for row in rows for text in row.values()):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "mistral"])
def test_a_model_from_scratch_has_the_vocabulary_of_its_tokenizer(model_type):
    from transformers import AutoModelForCausalLM

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


def test_a_chat_template_writes_the_same_date_every_day(llama, tmp_path):
    from transformers import AutoTokenizer

    written = AutoTokenizer.from_pretrained(llama["instruct"])
    template = "{%- if strftime_now is defined %}{%- set date = strftime_now('%d %b %Y') %}{%- endif %}{{- 'Today: ' + date }}"
    written.chat_template = template + written.chat_template  # as in Llama 3.2's
    written.save_pretrained(tmp_path / "model")
    turns = [{"role": "user", "content": "1 + 1?"}]
    tokenizer = load_tokenizer(str(tmp_path / "model"))
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text.startswith("Today: 26 Jul 2024<|begin_of_text|>")
    tokenizer.save_pretrained(tmp_path / "trained")
    again = load_tokenizer(str(tmp_path / "trained"))
    assert again.chat_template == tokenizer.chat_template and again.apply_chat_template(turns, tokenize=False) == text
    assert load_tokenizer(llama["instruct"]).chat_template == AutoTokenizer.from_pretrained(llama["instruct"]).chat_template


def test_rope_that_was_rounded_is_computed_again(llama):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama["base"], dtype=torch.float32)
    rope = model.model.rotary_emb
    exact = rope.inv_freq.clone()
    rope.to(torch.bfloat16)  # as DeepSpeed's zero.Init does
    assert not rope.inv_freq.float().equal(exact)
    models.keep_rope_exact(model)
    assert rope.inv_freq.dtype == torch.float32 and rope.inv_freq.equal(exact) and rope.original_inv_freq.equal(exact)
    assert "inv_freq" in dict(rope.named_buffers()) and not any("inv_freq" in name for name in model.state_dict())
