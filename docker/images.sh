#!/usr/bin/env bash
# Builds the images with buildah and runs the main job in them: no daemon, no registry.
#   docker/images.sh [cpu] [cuda] [s3] [compose]     all four if none is named; `make images`
# Each image is built, then run as its own user: `cpu` ingests rendered clips and verifies the dataset,
# `cuda` also trains, `s3` answers. `compose` runs the services of compose.yaml together, each on a
# network of its own, and kills a worker in the middle of an ingest (tests/cluster/compose.py).
#
# BASE=debian (default): the base, python:3.11.14-slim-bookworm, is replaced by Debian 12 with its own
#   Python 3.11, made by debootstrap. BASE=pull: it is pulled from Docker's registry.
# SOFDATA_IMAGES: where images and layers are kept, /var/tmp/sofdata-images if not given.
# PYTHON: the Python of the development environment, for compose. Needs root, buildah, debootstrap and
# the network. 2 GB and 4 minutes for `cpu`, 10 GB more for `cuda`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
store=$(realpath -m "${SOFDATA_IMAGES:-/var/tmp/sofdata-images}")
base=docker.io/library/python:3.11.14-slim-bookworm

say() { echo "images: $*"; }
fail() {
  echo "images: $*" >&2
  exit 1
}
# shellcheck source=docker/debian.sh
. docker/debian.sh

[[ $EUID == 0 ]] || fail "building an image by changing the root folder needs the user root"
for tool in buildah debootstrap; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $tool"
done
mkdir -p "$store"
containers() { buildah --root "$store/root" --runroot "$store/run" "$@"; }

# What the base image is here: Debian 12 and its own Python, for want of the official one.
make_base() {
  local mirror tree=$store/debian container
  containers inspect --type image "$base" >/dev/null 2>&1 && return
  mirror=$(debian_mirror)
  use_apt_proxy
  say "Debian 12 from $mirror in place of $base"
  rm -rf --one-file-system "$tree"
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    bookworm "$tree" "$mirror" >"$store/debian.log" 2>&1 || {
    tail -n 20 "$store/debian.log" >&2
    fail "debootstrap failed; its whole output is in $store/debian.log"
  }
  ln -s python3 "$tree/usr/bin/python"
  container=$(containers from scratch)
  containers add --quiet "$container" "$tree" /
  containers commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf --one-file-system "$tree"
}

# pip's configuration and what it names, certificates: lent to a build, and no part of the image.
lent() {
  local path
  { pip_paths "$python" && echo /etc/ssl/certs; } | sort -u | while read -r path; do
    [[ ! -e $path ]] || printf -- '--volume\n%s:%s:ro\n' "$path" "$path"
  done
}

build() {
  local pull=--pull-never loans
  [[ ${BASE:-debian} != pull ]] || pull=--pull
  mapfile -t loans < <(lent)
  say "building sofdata:$1"
  containers bud "$pull" --layers --network host --isolation chroot "${loans[@]}" \
    --file "docker/$1.Dockerfile" --tag "sofdata:$1" . >"$store/$1.log" 2>&1 || {
    tail -n 30 "$store/$1.log" >&2
    fail "sofdata:$1 was not built; the whole output is in $store/$1.log"
  }
  say "sofdata:$1: $(containers images --format '{{.Size}}' "localhost/sofdata:$1")"
}

# Commands in a new container of an image, as the image's own user.
container=
enter() { container=$(containers from --pull-never "localhost/sofdata:$1"); }
inside() { containers run --isolation chroot "$container" -- "$@"; }
leave() {
  [[ -z $container ]] || containers rm "$container" >/dev/null
  container=
}
trap leave EXIT

# The main job, on clips that are rendered in the container.
try_ingest() {
  [[ $(inside id --user) == 1000 ]] || fail "the user of the image is not 1000"
  inside python -m pip --disable-pip-version-check check
  inside python -c 'from sofdata.scenes import write_ssv2_corpus
write_ssv2_corpus("films", videos=12, seconds=2.5)'
  inside sofdata ingest films dataset --engine ray --workers 2 --quiet \
    --set flow.estimator=dis
  inside sofdata verify dataset
}

try_training() {
  inside sofdata train skill --data dataset --out models --quiet \
    --set skill.optim.steps=20 --set skill.run.evaluate_every=10 --set skill.data.batch_size=4
  inside test -s models/skill/model.pt || fail "the training left no model"
}

try_s3() {
  inside weed version
}

run_image() {
  build "$1"
  enter "$1"
  say "running sofdata:$1"
  case $1 in
  cpu) try_ingest ;;
  cuda) try_ingest && try_training ;;
  s3) try_s3 ;;
  esac
  leave
}

run_compose() {
  say "the services of compose.yaml together"
  SOFDATA_IMAGES=$store "$python" -m tests.cluster.compose
}

[[ ${BASE:-debian} == pull ]] || make_base
(($#)) || set -- cpu cuda s3 compose
for name in "$@"; do
  case $name in
  cpu | cuda | s3) run_image "$name" ;;
  compose) run_compose ;;
  *) fail "there is no image '$name': cpu, cuda, s3, compose" ;;
  esac
done
say "all is well"
