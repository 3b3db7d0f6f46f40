#!/bin/sh
# Build both images and check them by starting what they hold. Needs buildah; no daemon, no registry account.
#
#   deploy/check-images.sh [BASE [more arguments for `buildah bud`...]]
#
# BASE is the base image, by default the one the Dockerfile names. The trainer needs CPU wheels of torch (see
# docs/deployment.md), so most hosts add `--build-arg TORCH_INDEX_URL=<index of CPU wheels>`. BUILDAH_ISOLATION=chroot
# makes it work where namespaces are not allowed.
set -eu
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  base=$1
  shift
  set -- --build-arg "BASE=$base" "$@"
fi

container=
leave() {
  [ -z "$container" ] || buildah rm "$container" >/dev/null
  container=
}
trap leave EXIT

in_image() { buildah run "$container" -- "$@"; }

refused() { # COMMAND...: it must fail
  if in_image "$@" >/dev/null 2>&1; then
    echo "this should have failed: $*" >&2
    exit 1
  fi
}

check() { # IMAGE URL COMMAND...
  image=$1 url=$2
  shift 2
  container=$(buildah from "localhost/$image")
  in_image winnow --help >/dev/null
  in_image env WINNOW_ALLOW_ANONYMOUS=true python - "$url" "$@" <deploy/start_check.py
  test "$(in_image id -u)" = 10001
  refused touch /opt/winnow/new-file
  refused python -m pip --version
  in_image du --summarize --block-size=1M /opt/winnow
}

# HEALTHCHECK is part of Docker's image format, not of OCI's.
for image in service trainer; do
  buildah bud --format docker --layers --target "$image" --tag "localhost/winnow-$image" "$@" .
done

check winnow-service http://127.0.0.1:8787/livez winnow serve
in_image python -c 'from importlib.util import find_spec; assert not find_spec("torch") and not find_spec("onnx")'
leave

check winnow-trainer http://127.0.0.1:9109/metrics winnow train
in_image python -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'

buildah images --filter 'reference=localhost/winnow-*'
echo "Both images build, start, answer and stop."
