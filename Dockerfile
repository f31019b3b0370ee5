# The operator's image. Base images are arguments so that they can be pinned by digest.
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
RUN python -m venv /opt/pve-evpn \
    && /opt/pve-evpn/bin/pip install --no-cache-dir --require-hashes -r operator/requirements.lock \
    && /opt/pve-evpn/bin/pip install --no-cache-dir --no-deps .

FROM ${PYTHON}
LABEL org.opencontainers.image.title="pve-evpn-operator" \
      org.opencontainers.image.description="Kubernetes operator for EVPN networks on Proxmox VE" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/pve-evpn /opt/pve-evpn
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/opt/pve-evpn/bin/pve-evpn"]
CMD ["run"]
