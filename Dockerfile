# The container image: scripts/image builds it, docs/howto/container.md tells how to run it.
#
# Nothing is downloaded here: dist/image, which scripts/image fills, has the wheel of this checkout
# and those of requirements/run.txt, and their hashes in requirements.txt.

# Any image with glibc and a Python of 3.11 or later that can make environments (venv).
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
COPY dist/image /wheels
# Compiled without times: the files fit their sources wherever and whenever they are copied.
RUN python3 -m venv /pip \
    && python3 -m venv --without-pip /opt/qmp-exporter \
    && /pip/bin/pip --python /opt/qmp-exporter/bin/python --isolated --no-cache-dir \
        install --no-index --find-links /wheels --require-hashes --no-compile \
        -r /wheels/requirements.txt \
    && find /opt/qmp-exporter -depth '(' -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \
        -o -name '*.c' -o -name '*.h' -o -type d '(' -name tests -o -name __pycache__ ')' ')' \
        -exec rm -rf '{}' + \
    && find /opt/qmp-exporter/bin -type f ! -name qmp-exporter -delete \
    && /opt/qmp-exporter/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        /opt/qmp-exporter/lib

FROM ${BASE}
COPY --from=build /opt/qmp-exporter /opt/qmp-exporter
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="qmp-exporter" \
    org.opencontainers.image.description="Prometheus exporter of QEMU's QMP events" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="https://github.com/qmp-exporter/qmp-exporter" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
ENV PYTHONDONTWRITEBYTECODE=1
EXPOSE 10767
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/qmp-exporter/bin/qmp-exporter"]
CMD []
