#!/usr/bin/env bash
# Makes an environment for each server that cannot share ours, and prints what points the tests at them:
#   eval "$(tests/exporters/make_peers.sh FOLDER)" && python -m pytest -m peer
set -euo pipefail
folder=$(realpath -m "${1:?give a folder for the environments, such as /tmp/peers}")

peer() {
  local name=$1
  shift
  [ -x "$folder/$name/bin/python" ] || python3 -m venv "$folder/$name" >&2
  "$folder/$name/bin/pip" install -q --disable-pip-version-check "$@" >&2
  printf 'export KNOCKGUARD_%s_PYTHON=%q\n' "${name^^}" "$folder/$name/bin/python"
}

# Behind onnxruntime: what the guard needs inside these hosts beside what is there.
peer mlserver mlserver onnxruntime pillow structlog googleapis-common-protos
peer kserve kserve onnxruntime pillow structlog googleapis-common-protos
peer triton nvidia-pytriton onnxruntime
