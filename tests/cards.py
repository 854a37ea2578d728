"""The Llamas and cards of recipes/{gsm8k,math}/llama: published shapes without weights, and how each folder is launched."""

import shutil
from pathlib import Path

SHAPES = {  # hidden size, layers, heads, MLP, tied embeddings; all have 8 KV heads and a vocabulary of 128,256
    "1b": (2048, 16, 32, 8192, True),
    "3b": (3072, 28, 24, 8192, True),
    "8b": (4096, 32, 32, 14336, False),
}
CARDS = {  # folder: GPUs, accelerate config, GiB of each
    "1b-24gb": (1, "ddp", 24),
    "3b-lora-24gb": (1, "ddp", 24),
    "3b-80gb": (1, "ddp", 80),
    "8b-lora-80gb": (1, "ddp", 80),
    "3b-8x80gb": (8, "zero2", 80),
    "8b-8x80gb": (8, "zero3", 80),
}


def save_shape(folder: Path, size: str, tokenizer: str) -> str:
    """A model folder with the config of a Llama of `size`, the tokenizer in another folder, and no weights to speak of."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    hidden, layers, heads, mlp, tied = SHAPES[size]
    scaling = {"rope_type": "llama3", "factor": 8.0 if size == "8b" else 32.0, "rope_theta": 500000.0}
    scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=128_256,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=hidden // heads,
        intermediate_size=mlp,
        max_position_embeddings=131_072,
        tie_word_embeddings=tied,
        rope_parameters=scaling,
        dtype="bfloat16",
    )
    for path in Path(tokenizer).glob("*token*"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    if (template := Path(tokenizer) / "chat_template.jinja").is_file():
        shutil.copy(template, folder)
    config.save_pretrained(folder)
    save_file({"empty": torch.zeros(1)}, folder / "model.safetensors")
    return str(folder)


def environment(card: str, stage: str):
    """The Environment of a card's folder; star.py runs with DDP, since it cannot shard a model."""
    from recipes.training.preflight.environment import GIB, Environment

    gpus, sharding, memory = CARDS[card]
    sharding = "none" if sharding == "ddp" or stage == "star" else sharding
    return Environment(processes=gpus, sharding=sharding, memory=memory * GIB, gpu=True)
