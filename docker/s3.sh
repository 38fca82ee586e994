#!/bin/sh
# Start SeaweedFS with one identity, from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
set -eu
cat >/tmp/s3.json <<JSON
{"identities": [{"name": "lab",
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
exec weed server -dir=/data -ip="$(hostname)" -ip.bind=0.0.0.0 -master.telemetry=false \
  -s3 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config=/tmp/s3.json \
  -master.volumeSizeLimitMB=1024 -volume.max=0
