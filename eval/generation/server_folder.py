"""What a run shares with its vLLM servers: an access token, and a folder in which the run leaves weights for them to load.

Both are next to the run, in `OUTPUT_DIR.server/`, which only its owner can read. `python -m launch serve` creates the token;
the run and `eval run --base-url` read it. It is never on a command line or in a log.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from data_mix import files
from data_mix.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MEMORY = Path("/dev/shm")


def folder(output_dir: str) -> Path:
    """The folder next to a run, for its token and, with servers on other machines, its weights."""
    return Path(f"{Path(output_dir).absolute()}.server")


def weights_folder(output_dir: str, hosts: Sequence[str]) -> Path:
    """Where the run puts weights, one folder per step; the servers load from nowhere else.

    Args:
        output_dir: of the run.
        hosts: names or addresses of its servers; with all of them on this machine, the weights stay in memory.
    """
    if all(host in LOOPBACK for host in hosts) and MEMORY.is_dir():
        name = hashlib.sha256(str(folder(output_dir)).encode()).hexdigest()[:12]
        return MEMORY / f"cotmix-{os.getuid()}-{name}"
    return folder(output_dir) / "weights"


def hosts(urls: Sequence[str]) -> list[str]:
    """The host of each URL."""
    return [urlsplit(url).hostname or "" for url in urls]


def create_token(output_dir: str) -> str:
    """The run's token; made and written, readable by its owner only, if there is none yet."""
    path = folder(output_dir) / "token"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_token(path)
    token = secrets.token_urlsafe(32)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    return token


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {files.reason(error)}", "start the server with `python -m launch serve`") from None
