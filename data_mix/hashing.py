"""The sha256 of a file, read in pieces."""

import hashlib
from pathlib import Path


def sha256_of(file: Path) -> str:
    """The hex digest."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
