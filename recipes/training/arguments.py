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
    """TRL's GRPOConfig with other defaults, and several servers."""

    report_to: None | str | list[str] = field(default="tensorboard", metadata=REPORT_TO)
    use_vllm: bool = field(default=True, metadata={"help": "must be true: rollouts come from vLLM"})
    vllm_server_base_url: list[str] | None = field(
        default=None, metadata={"help": "URLs of the servers, which share the prompts; by default vllm_server_host and port"}
    )
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

    def __post_init__(self) -> None:
        """As in TRL; one URL in YAML need not be a list."""
        if isinstance(self.vllm_server_base_url, str):
            self.vllm_server_base_url = [self.vllm_server_base_url]
        super().__post_init__()

    @property
    def server_urls(self) -> list[str]:
        """The URLs of the servers."""
        host = "127.0.0.1" if self.vllm_server_host == "0.0.0.0" else self.vllm_server_host
        return self.vllm_server_base_url or [f"http://{host}:{self.vllm_server_port}"]
