# Headcirc in a container: `docker build --target cpu .` (or gpu). docs/deploy.md says how to run it,
# and what of this file has been run.

FROM python:3.11.14-slim-bookworm AS python

# --- what serving on CPUs needs: exact versions, checked by their hashes ------------------------

FROM python AS cpu-install
WORKDIR /opt/headcirc
COPY requirements/serve.txt requirements/
RUN python -m venv --without-pip venv \
    && python -m pip --python venv/bin/python install --no-cache-dir --require-hashes \
        --requirement requirements/serve.txt
COPY pyproject.toml README.md LICENSE /usr/src/headcirc/
COPY models /usr/src/headcirc/models
COPY headcirc /usr/src/headcirc/headcirc
COPY service /usr/src/headcirc/service
# The shipped model is part of the package. setuptools is needed for this step only.
RUN python -m pip --python venv/bin/python install --no-cache-dir --no-deps --no-build-isolation \
        /usr/src/headcirc \
    && python -m pip --python venv/bin/python uninstall --yes setuptools \
    && ln -s "$(venv/bin/python -c 'from headcirc.pipeline import SHIPPED_MODEL_DIR as d; print(d)')" model

# --- target cpu ---------------------------------------------------------------------------------

FROM python AS cpu
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Headcirc" \
      org.opencontainers.image.description="Fetal head circumference in ultrasound images, over HTTP, on CPUs. Research use only." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0" \
      org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"
RUN groupadd --gid 10001 headcirc \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin headcirc \
    && install --directory --owner 10001 --group 10001 --mode 700 /var/lib/headcirc-gateway
COPY --from=cpu-install /opt/headcirc /opt/headcirc
ENV PATH=/opt/headcirc/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/headcirc
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Liveness, not readiness: a full queue is no reason to start it anew. It listens once it is warm.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["headcirc"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

# --- what serving on an NVIDIA GPU needs --------------------------------------------------------

FROM python AS gpu-install
WORKDIR /opt/headcirc
COPY requirements/gpu.txt requirements/
RUN python -m venv --without-pip venv \
    && python -m pip --python venv/bin/python install --no-cache-dir --require-hashes \
        --requirement requirements/gpu.txt
COPY pyproject.toml README.md LICENSE /usr/src/headcirc/
COPY models /usr/src/headcirc/models
COPY headcirc /usr/src/headcirc/headcirc
COPY service /usr/src/headcirc/service
RUN python -m pip --python venv/bin/python install --no-cache-dir --no-deps --no-build-isolation \
        /usr/src/headcirc \
    && python -m pip --python venv/bin/python uninstall --yes setuptools \
    && ln -s "$(venv/bin/python -c 'from headcirc.pipeline import SHIPPED_MODEL_DIR as d; print(d)')" model

# --- target gpu ---------------------------------------------------------------------------------

FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS gpu
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Headcirc (GPU)" \
      org.opencontainers.image.description="Fetal head circumference in ultrasound images, over HTTP, on an NVIDIA GPU. Research use only." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0" \
      org.opencontainers.image.base.name="nvidia/cuda:13.0.2-base-ubuntu24.04"
# The same Python as on CPUs, from its own image: Ubuntu's is another one.
COPY --from=python /usr/local /usr/local
COPY --from=gpu-install /opt/headcirc /opt/headcirc
ENV PATH=/opt/headcirc/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The last line fails here, not on a cluster, if that Python lacks a library of its own image.
RUN ldconfig \
    && groupadd --gid 10001 headcirc \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin headcirc \
    && python -c "import bz2, ctypes, lzma, ssl, cv2, onnxruntime, headcirc.cli.commands"
WORKDIR /opt/headcirc
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# The first start builds the engine, which takes minutes.
HEALTHCHECK --interval=15s --timeout=5s --start-period=600s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["headcirc"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
