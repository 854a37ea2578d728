"""Silences library messages that users cannot act on, such as deprecations in code that is not theirs."""

import logging
import os
import sys
import warnings

# logger → part of a message
MESSAGES = {
    "DeepSpeed": "Setting accelerator to CPU",
    "transformers.tokenization_utils_tokenizers": "Ignoring clean_up_tokenization_spaces",  # as it should for BPE
    "transformers.trainer": "There were missing keys in the checkpoint model loaded: ['lm_head.weight'].",  # it is tied
}


def silence_libraries() -> None:
    """Hides those messages, and progress bars where they would fill a log file. Call it before torch is imported.

    `--verbose` on the command line keeps everything.
    """
    if "--verbose" in sys.argv:
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # hides vLLM's line about NUMA nodes
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    for name, part in MESSAGES.items():
        logging.getLogger(name).addFilter(lambda record, part=part: part not in record.getMessage())
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # also those of transformers
