"""What a run shares with its vLLM servers: an access token, and a folder in which the run leaves weights for them to load.

Both are next to the run, in `OUTPUT_DIR.server/`, which only its owner can read. `python -m launch serve` creates the token;
the run and `eval run --base-url` read it. It is never on a command line or in a log.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from data_mix import files, locks
from data_mix.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MEMORY = Path("/dev/shm")
RUN = "COTMIX_SERVER_RUN"  # environment variable that tells a server the output folder of its run


def folder(output_dir: str) -> Path:
    """The folder next to a run, for its token and, with servers on other machines, its weights."""
    return Path(f"{Path(output_dir).absolute()}.server")


def weights_folders(output_dir: str) -> tuple[Path, Path]:
    """The two places where a run may put weights: in this machine's memory, and next to the run."""
    name = hashlib.sha256(str(folder(output_dir)).encode()).hexdigest()[:12]
    return MEMORY / f"cotmix-{os.getuid()}-{name}", folder(output_dir) / "weights"


def weights_folder(output_dir: str, hosts: Sequence[str]) -> Path:
    """Where the run puts weights, one folder per step; the servers load from nowhere else.

    Args:
        output_dir: of the run.
        hosts: names or addresses of its servers; with all of them on this machine, the weights stay in memory.
    """
    memory, disk = weights_folders(output_dir)
    return memory if all(host in LOOPBACK for host in hosts) and MEMORY.is_dir() else disk


def remove_weights(output_dir: str) -> None:
    """Removes the weights that a killed run has left in this machine's memory; not while a run holds its output folder."""
    lock = Path(output_dir) / locks.NAME
    held = locks.try_lock(lock) if lock.exists() else contextlib.nullcontext()
    if held is None:
        return
    with held:
        shutil.rmtree(weights_folders(output_dir)[0], ignore_errors=True)


def hosts(urls: Sequence[str]) -> list[str]:
    """The host of each URL."""
    return [urlsplit(url).hostname or "" for url in urls]


def create_token(output_dir: str) -> str:
    """The run's token; made and written, readable by its owner only, if there is none yet.

    Raises:
        InputError: if the folder or the token belongs to somebody else, or others can read the token.
    """
    path = folder(output_dir) / "token"
    part = path.with_name(f".token.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid != os.getuid():
            raise InputError(f"{path.parent} belongs to another user", "give another --output_dir")
        path.parent.chmod(0o700)
        if not path.exists():
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
            with contextlib.suppress(FileExistsError):  # another server of the run was faster
                os.link(part, path)
            part.unlink()
    except OSError as error:
        raise InputError(f"{path}: {files.reason(error)}", "give another --output_dir") from None
    return read_token(path)


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        InputError: if it cannot be read, is empty, or others than its owner can read it.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
        others = path.stat().st_mode & 0o077
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {files.reason(error)}", "start the server with `python -m launch serve`") from None
    if not token:
        raise InputError(f"{path} is empty", "remove it and start the server with `python -m launch serve`")
    if others:
        raise InputError(f"{path}: other users can read it", f"run `chmod 600 {path}`, or remove it for a new token")
    return token
