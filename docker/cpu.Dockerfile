# Image of a worker that decodes and computes DIS flow on the CPU. Build from the project's root:
#   docker build -f docker/cpu.Dockerfile -t sofdata:cpu .
# No engine runs where sofdata is developed: this file has not been built there.
FROM python:3.11-slim

RUN useradd --create-home sofdata
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY sofdata ./sofdata
COPY pipelines ./pipelines
COPY schemas ./schemas
RUN pip install --no-cache-dir .

USER sofdata
WORKDIR /home/sofdata
ENV OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
ENTRYPOINT ["sofdata"]
