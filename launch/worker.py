"""Adapts the worker processes of a vLLM server; vLLM imports this file in each of them (`--worker-extension-cls`).

They sample as the engine in a trainer's process does, and end with the server, however it ends.
"""

from eval.generation.machine import end_with_parent, has_gpu
from eval.patches.vllm import sample_by_inversion

end_with_parent()
if not has_gpu():
    sample_by_inversion()


class WorkerExtension:
    """The class that the option asks for; it adds no methods."""
