"""What the recipes share: config, models and tokenizers, tracking, and vLLM on CPU."""
