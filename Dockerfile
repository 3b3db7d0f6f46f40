# Two images: `service` answers HTTP and holds neither torch nor onnx; `trainer` learns.
#
#   docker build --target service --tag winnow-service .
#   docker build --target trainer --tag winnow-trainer --build-arg TORCH_INDEX_URL=<index of CPU wheels> .
#
# How they are run: docker-compose.yml. How they are checked: deploy/check-images.sh. Why: docs/deployment.md.
ARG BASE=python:3.11-slim-bookworm


FROM ${BASE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The environment has no pip of its own: what runs in production cannot install.
RUN python -m venv --without-pip /opt/winnow
COPY LICENSE README.md constraints.txt pyproject.toml ./
# An empty project has the same dependencies, and this layer outlives changes of the code.
RUN mkdir benchmarks contract models service trainer winnow \
 && pip --python /opt/winnow/bin/python install --constraint constraints.txt '.[traces]'


FROM dependencies AS service-build
COPY . .
RUN pip --python /opt/winnow/bin/python install --no-deps --force-reinstall .


FROM dependencies AS trainer-build
# On Linux, plain `torch` is a CUDA build: over 4 GB with the libraries it depends on, and without them it cannot be
# imported, so leaving them out is no way to a CPU build. CPU wheels come from an index of their own, TORCH_INDEX_URL.
# With TORCH_VARIANT=cpu (the default) a plan that holds CUDA is refused; TORCH_VARIANT=cuda lets it through.
ARG TORCH_INDEX_URL=""
ARG TORCH_VARIANT=cpu
RUN if [ -n "${TORCH_INDEX_URL}" ]; then \
      pip --python /opt/winnow/bin/python install --constraint constraints.txt --no-deps \
          --index-url "${TORCH_INDEX_URL}" torch; \
    fi
RUN pip --python /opt/winnow/bin/python install --constraint constraints.txt --dry-run --quiet \
        --report /tmp/plan.json '.[train]' \
 && if [ "${TORCH_VARIANT}" = cpu ] && grep -qE '"name": "(cuda|nvidia)-' /tmp/plan.json; then \
      echo 'This torch is a CUDA build. Pass --build-arg TORCH_INDEX_URL=<index of CPU wheels>, or TORCH_VARIANT=cuda.' >&2; \
      exit 1; \
    fi
RUN pip --python /opt/winnow/bin/python install --constraint constraints.txt '.[train]'
COPY . .
RUN pip --python /opt/winnow/bin/python install --no-deps --force-reinstall .


FROM ${BASE} AS runtime
# The registry's directories are part of the image, so that a volume over them starts with the right owner and a
# service that mounts it read-only finds them before the trainer has run.
RUN groupadd --gid 10001 winnow \
 && useradd --uid 10001 --gid winnow --home-dir /var/lib/winnow --no-create-home --shell /usr/sbin/nologin winnow \
 && install --directory --owner=winnow --group=winnow /var/lib/winnow /var/lib/winnow/registry \
      /var/lib/winnow/registry/versions /var/lib/winnow/registry/staging /var/lib/winnow/registry/quarantine
# onnxruntime's wheels collect telemetry, and write a device id to the home directory, unless told not to.
ENV ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/winnow/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WINNOW_HOME=/var/lib/winnow \
    WINNOW_LOG_JSON=true
WORKDIR /var/lib/winnow
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["winnow"]


FROM runtime AS trainer
COPY --from=trainer-build /opt/winnow /opt/winnow
# The compiled loops are kept with the state: the rest of the file system is read-only.
ENV NUMBA_CACHE_DIR=/var/lib/winnow/.numba WINNOW_TRAINER_METRICS_HOST=0.0.0.0 WINNOW_TRAINER_METRICS_PORT=9109
EXPOSE 9109
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"WINNOW_TRAINER_METRICS_PORT\"]}/metrics', timeout=2)"]
CMD ["train"]


FROM runtime AS service
COPY --from=service-build /opt/winnow /opt/winnow
ENV WINNOW_HOST=0.0.0.0 WINNOW_PORT=8787
EXPOSE 8787
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"WINNOW_PORT\"]}/livez', timeout=2)"]
CMD ["serve"]
