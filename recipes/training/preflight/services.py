"""Checks of external services: the hub and experiment trackers."""

from collections.abc import Iterator

from data_mix.errors import nearest
from data_mix.files import reason
from recipes.training.preflight.findings import Finding


def check_hub(args, given: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """`push_to_hub` without a valid token, and checkpoints that the trainer would copy over the final model."""
    if not args.push_to_hub:
        return
    import httpx
    from huggingface_hub import HfApi, constants, get_token

    if not (args.hub_token or get_token()):
        yield Finding("push_to_hub", "push_to_hub is true, but there is no token", "run `hf auth login`, or set HF_TOKEN")
    elif constants.HF_HUB_OFFLINE:
        yield Finding("push_to_hub", "push_to_hub is true, but HF_HUB_OFFLINE is set", "unset one of them")
    else:
        try:
            HfApi(token=args.hub_token).whoami()
        except (httpx.HTTPError, OSError, ValueError) as error:
            problem = f"push_to_hub is true, but the hub does not accept the token ({reason(error)})"
            yield Finding("push_to_hub", problem, "run `hf auth login`, or leave it out")
    if "hub_strategy" in given and args.hub_strategy != "end":
        problem = f"hub_strategy is {args.hub_strategy.value}, but only the final model is pushed"
        yield Finding("hub_strategy", problem, "set it to end, or leave it out")


def check_trackers(args) -> Iterator[Finding]:
    """Trackers in `report_to` that are unknown or not installed."""
    from transformers import integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in args.report_to:
        installed = getattr(integrations, f"is_{name}_available", None)
        if name not in INTEGRATION_TO_CALLBACK:
            problem = f"report_to: '{name}' is unknown{nearest(name, INTEGRATION_TO_CALLBACK)}"
            yield Finding("report_to", problem, f"use {', '.join(INTEGRATION_TO_CALLBACK)} or none")
        elif installed and not installed():
            yield Finding("report_to", f"report_to: {name} is not installed", f"run `pip install {name}`, or leave it out")
