"""TRL's configs with the defaults that cotmix needs."""

import os
from dataclasses import dataclass, field

import trl

from eval.generation import machine

REPORT_TO = {"help": "trackers, such as tensorboard, wandb or trackio; none for log.jsonl alone"}
BF16 = {"help": "compute in bfloat16; default: true on GPUs, and on CPUs that have instructions for it"}


def choose_bf16(args) -> None:
    """Sets the default of `bf16`, which in TRL is true everywhere. With neither `bf16` nor `fp16`, training is in float32."""
    if args.bf16 is None and (args.use_cpu or not machine.has_gpu()):
        args.bf16 = not args.fp16 and machine.has_bfloat16()
    if args.bf16 is False and not args.fp16:  # else transformers takes the precision of the accelerate config
        os.environ.pop("ACCELERATE_MIXED_PRECISION", None)


@dataclass
class CotmixSFTConfig(trl.SFTConfig):
    """TRL's SFTConfig with other defaults."""

    report_to: None | str | list[str] = field(default="tensorboard", metadata=REPORT_TO)
    bf16: bool | None = field(default=None, metadata=BF16)

    def __post_init__(self) -> None:
        """As in the base, after `choose_bf16`."""
        choose_bf16(self)
        super().__post_init__()


@dataclass
class Rollouts:
    """Where rollouts come from, in the recipes that have some. Most are fields of TRL's GRPOConfig as well."""

    use_vllm: bool = field(
        default=True,
        metadata={"help": "false: rollouts come from the trainer's own model, through transformers; slower for most models"},
    )
    vllm_mode: str = field(
        default="colocate", metadata={"help": "colocate: an engine in each process; server: servers that run already"}
    )
    vllm_server_base_url: list[str] | None = field(
        default=None, metadata={"help": "URLs of the servers, which share the prompts; by default vllm_server_host and port"}
    )
    vllm_server_host: str = field(default="0.0.0.0", metadata={"help": "of the server; 0.0.0.0: this machine"})
    vllm_server_port: int = field(default=8000, metadata={"help": "of the server"})
    vllm_server_timeout: float = field(default=240.0, metadata={"help": "seconds to wait for a server that does not answer"})
    weight_push: str | None = field(
        default=None,
        metadata={"help": "how weights reach servers: nccl, or files in /dev/shm or next to the run; default: nccl with GPUs"},
    )
    sync_timeout: int = field(default=600, metadata={"help": "abort when a weight push to vLLM takes more seconds than this"})

    def __post_init__(self) -> None:
        """One URL in YAML need not be a list."""
        if isinstance(self.vllm_server_base_url, str):
            self.vllm_server_base_url = [self.vllm_server_base_url]

    @property
    def server_urls(self) -> list[str]:
        """The URLs of the servers."""
        if isinstance(self.vllm_server_base_url, str):  # as `choose_source` leaves it for TRL
            return [self.vllm_server_base_url]
        host = "127.0.0.1" if self.vllm_server_host == "0.0.0.0" else self.vllm_server_host
        return self.vllm_server_base_url or [f"http://{host}:{self.vllm_server_port}"]


@dataclass
class CotmixGRPOConfig(Rollouts, trl.GRPOConfig):
    """TRL's GRPOConfig with other defaults, and several servers."""

    report_to: None | str | list[str] = field(default="tensorboard", metadata=REPORT_TO)
    bf16: bool | None = field(default=None, metadata=BF16)
    vllm_importance_sampling_mode: str = field(
        default="token_truncate",
        metadata={
            "help": "token_truncate, token_mask, sequence_truncate or sequence_mask; the last two favour short completions"
        },
    )
    disable_dropout: bool = field(
        default=True,
        metadata={"help": "the trainer must compute the log-probs of the model that sampled, which has no dropout"},
    )

    def __post_init__(self) -> None:
        """As in both bases, after `choose_bf16`."""
        choose_bf16(self)
        Rollouts.__post_init__(self)
        trl.GRPOConfig.__post_init__(self)
