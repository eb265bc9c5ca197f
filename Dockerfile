# Two images from one file:
#   docker build --target operator -t hypersweep-operator .    no torch
#   docker build --target trainer  -t hypersweep-trainer  .    no kopf
# Any base with python3 (3.11 or newer), pip and venv will do: --build-arg BASE=...
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PYTHONDONTWRITEBYTECODE=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/hypersweep/bin/python
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir "uv>=0.9,<1"
ENV PATH=/opt/build/bin:$PATH
# Without pip: nobody installs into a running image.
RUN python3 -m venv --without-pip /opt/hypersweep
WORKDIR /src
COPY pyproject.toml README.md ./

# The dependencies alone, so that a change of our code reinstalls none of them.
FROM build AS operator-dependencies
RUN uv pip install --requirements pyproject.toml --extra operator

FROM build AS trainer-dependencies
# TORCH_BACKEND picks another build of torch than the default one of the package index: cpu, cu128, rocm6.4, ...
ARG TORCH_BACKEND=""
RUN uv pip install --requirements pyproject.toml --extra trainer ${TORCH_BACKEND:+--torch-backend=${TORCH_BACKEND}}

# Our own files alone, laid out as the virtual environment is, to be copied over it as the last layer.
FROM build AS code
COPY operator operator
COPY trainer trainer
RUN uv build --wheel --python python3 --out-dir /wheels . \
    && uv pip install --no-deps --prefix /code /wheels/*.whl

FROM ${BASE} AS runtime
# A numeric user, so that `runAsNonRoot` can be checked; LOGNAME, because that user has no entry in /etc/passwd.
ENV PATH=/opt/hypersweep/bin:$PATH \
    HOME=/tmp \
    LOGNAME=hypersweep \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 65532:65532

FROM runtime AS trainer
# What the option `compile` needs where training runs.
USER root
RUN headers="$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
    && missing="$(command -v g++ >/dev/null || echo g++)$(test -f "$headers" || echo ' python3-dev')" \
    && if [ -z "$missing" ]; then exit; fi \
    && if ! command -v apt-get; then echo "without $missing in the base, the option compile will not work" >&2; exit; fi \
    && apt-get update && apt-get install --yes --no-install-recommends $missing && rm -rf /var/lib/apt/lists/*
USER 65532:65532
COPY --from=trainer-dependencies /opt/hypersweep /opt/hypersweep
COPY --from=code /code /opt/hypersweep
ENTRYPOINT ["python", "-m", "hypersweep_trainer"]

FROM runtime AS operator
COPY --from=operator-dependencies /opt/hypersweep /opt/hypersweep
COPY --from=code /code /opt/hypersweep
ENTRYPOINT ["hypersweep"]
CMD ["operator"]
