# The operator's image: Python, the locked dependencies, the operator; no compiler, no pip, nobody's user.
#
#   docker build -t pve-evpn-operator .
#
# BASE is Python on a small distribution. Its tag moves: the command above takes what it points to today. A release
# (.github/workflows/release.yaml) asks for the digest of the tag, ends where it gets none, builds from that digest and
# says it in the image's labels. The digest is not written here because it would be outdated with the next security fix.
# To pin it yourself:
#
#   --build-arg BASE=python:3.11-slim-bookworm@sha256:... --build-arg VERSION=0.1.0
ARG BASE=python:3.11-slim-bookworm
# Where pip runs; the same family as BASE, because the virtual environment refers to its interpreter.
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
# Wheels only: whatever would need a compiler fails here. The embedded Proxmox of the tests stays behind.
RUN python3 -m venv --without-pip /opt/pve-evpn \
    && python3 -m pip --python /opt/pve-evpn/bin/python3 install --no-cache-dir --only-binary=:all: \
        --require-hashes -r operator/requirements.lock \
    && python3 -m venv --without-pip /build \
    && python3 -m pip --python /build/bin/python3 install --no-cache-dir --only-binary=:all: \
        --require-hashes -r operator/build.lock \
    && python3 -m pip --python /build/bin/python3 wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels . \
    && python3 -m pip --python /opt/pve-evpn/bin/python3 install --no-cache-dir --no-deps /wheels/*.whl \
    && rm -rf /opt/pve-evpn/lib/python3*/site-packages/pve_lab

FROM ${BASE}
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pve-evpn-operator" \
      org.opencontainers.image.description="Kubernetes operator for EVPN networks on Proxmox VE" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/pve-evpn/pve-evpn-operator" \
      org.opencontainers.image.documentation="https://github.com/pve-evpn/pve-evpn-operator/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/pve-evpn /opt/pve-evpn
# The root file system is meant to be read-only; /tmp is all that is written to.
ENV PATH=/opt/pve-evpn/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/opt/pve-evpn/bin/pve-evpn"]
CMD ["run"]
