# syntax=docker/dockerfile:1
# Two stages: the first builds the wheels and the environment, the second holds nothing but Python and that environment.
# Every package comes from a hashed lock; the base image is named by tag here, pin it by digest in your own pipeline.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /tmp/builder \
 && /tmp/builder/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock \
 && python -m venv /opt/checkrein \
 && /opt/checkrein/bin/pip install --require-hashes --only-binary :all: -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY router router
COPY clients/python clients/python
RUN /tmp/builder/bin/hatchling build --target wheel --directory /tmp/wheel \
 && (cd clients/python && /tmp/builder/bin/hatchling build --target wheel --directory /tmp/wheel) \
 && /opt/checkrein/bin/pip install --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/checkrein/bin/python -m compileall -q /opt/checkrein/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="checkrein" org.opencontainers.image.licenses="Apache-2.0"
# A number, not a name: Kubernetes can then see by itself that runAsNonRoot holds. Group 0 as OpenShift expects.
RUN install --directory --owner=10001 --group=0 --mode=0770 /var/lib/checkrein
COPY --from=build /opt/checkrein /opt/checkrein
ENV PATH=/opt/checkrein/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# CONTAINER: no key that everyone knows; a generated admin key is printed instead. OPS__HOST: probes and Prometheus come
# from outside the container; whether 9464 is published at all is the deployment's choice.
ENV CHECKREIN_CONTAINER=1 CHECKREIN_SERVER__GRPC__HOST=0.0.0.0 CHECKREIN_SERVER__OPS__HOST=0.0.0.0
USER 10001:0
# The default store, ./checkrein.db, lands in the volume: with --read-only nothing else need be writable.
WORKDIR /var/lib/checkrein
VOLUME /var/lib/checkrein
EXPOSE 8080 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["checkrein", "healthcheck"]
ENTRYPOINT ["checkrein", "serve", "--host", "0.0.0.0"]
