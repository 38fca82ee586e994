#!/usr/bin/env bash
# Submit an ingest to a Ray cluster that is up, as a job that goes on when this terminal is closed.
#
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 ray_job.sh SOURCE DEST [options of sofdata ingest]
#
# The code of this checkout travels to the nodes as the job's working directory; what it imports
# (docs/cluster.md) must be installed there, as in the project's images. Paths of recipes are
# relative to the checkout. Follow, stop and resume:
#   ray job logs --follow ID     ray job stop ID     and the same command again
#
# Environment:
#   RAY_API_SERVER_ADDRESS  the cluster's dashboard
#   SOFDATA_RUNTIME_ENV     another runtime environment than runtime_env.yaml beside this script
#   SOFDATA_JOB_OPTIONS     options of `ray job submit`, such as "--no-wait --submission-id=ego4d"
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 2)); then
  echo "usage: ray_job.sh SOURCE DEST [options of sofdata ingest]" >&2
  exit 2
fi
# Without quotes around it: several options are several words.
# shellcheck disable=SC2086
exec ray job submit ${SOFDATA_JOB_OPTIONS:-} \
  --working-dir "$here/../.." \
  --runtime-env "${SOFDATA_RUNTIME_ENV:-$here/runtime_env.yaml}" \
  -- python -m sofdata ingest "$@" --address auto
