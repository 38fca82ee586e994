# A node that computes learned flow on a GPU, and trains. From the project's root:
#   docker build -f docker/cuda.Dockerfile -t sofdata:cuda .
# torch's wheels bring CUDA along, and NVIDIA's container runtime the driver: no other base is
# needed, and head, decode and flow nodes have the same Python. About 7 GB.
# docker/images.sh builds and runs it without a daemon; docker/README.md says what was run.
FROM python:3.11.14-slim-bookworm AS build
ENV PATH=/opt/sofdata/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/sofdata
# What changes seldom comes first: this layer stays while only code changes. ptlflow brings the
# OpenCV that needs libGL; the headless build goes on top of it.
COPY pyproject.toml docker/requirements.py docker/constraints.txt ./
RUN python requirements.py all cluster ptlflow > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt \
    && pip install --no-deps --force-reinstall --constraint constraints.txt opencv-python-headless
COPY README.md LICENSE ./
COPY sofdata ./sofdata
COPY pipelines ./pipelines
COPY schemas ./schemas
RUN pip install --no-deps .

FROM python:3.11.14-slim-bookworm
# KubeRay's probes call wget, with older versions of either. Debian keeps one version at a time.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 sofdata
COPY --from=build /opt/sofdata /opt/sofdata
ENV PATH=/opt/sofdata/bin:$PATH OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /home/sofdata
ENTRYPOINT ["sofdata"]
