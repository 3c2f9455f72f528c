# syntax=docker/dockerfile:1
# CPU:  docker build -t videollm .
# CUDA: docker build -t videollm:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH_INDEX=https://pypi.org/simple .
# Run:  docker run --rm --shm-size=4g -v "$PWD:/work" videollm demo
# Holds no weights but the embedded models'; published ones are mounted, or fetched into HF_HOME.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# A base without Python (CUDA's) gets its distribution's; versions are those of the base image.
# hadolint ignore=DL3008
RUN if ! command -v python3 > /dev/null; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3 -m venv /opt/videollm
ENV PATH=/opt/videollm/bin:$PATH

# torch first, by itself: another change of the code takes this layer from the cache.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" torch

COPY pyproject.toml README.md LICENSE ./
COPY connectors ./connectors
COPY videollm ./videollm
COPY pipelines ./pipelines
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" . \
    && useradd --no-log-init --create-home --uid 10001 videollm \
    && install --directory --owner=videollm --group=videollm /work /models
ENV HF_HOME=/models
USER videollm
WORKDIR /work
ENTRYPOINT ["videollm"]
CMD ["--help"]
