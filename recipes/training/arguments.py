"""TRL's configs with the defaults that cotmix needs."""

from dataclasses import dataclass, field

import trl

REPORT_TO = {"help": "trackers, such as tensorboard, wandb or trackio; none for log.jsonl alone"}


@dataclass
class CotmixSFTConfig(trl.SFTConfig):
    """TRL's SFTConfig with other defaults."""

    report_to: None | str | list[str] = field(default="tensorboard", metadata=REPORT_TO)


@dataclass
class CotmixGRPOConfig(trl.GRPOConfig):
    """TRL's GRPOConfig with other defaults."""

    report_to: None | str | list[str] = field(default="tensorboard", metadata=REPORT_TO)
    use_vllm: bool = field(default=True, metadata={"help": "must be true: rollouts come from vLLM"})
    vllm_importance_sampling_mode: str = field(
        default="token_truncate",
        metadata={
            "help": "token_truncate, token_mask, sequence_truncate or sequence_mask; the last two favor short completions"
        },
    )
    disable_dropout: bool = field(
        default=True,
        metadata={"help": "the trainer must compute the log-probs of the model that sampled, which has no dropout"},
    )
