# The sidecar's image: dependencies by hash, bytecode compiled, no compiler, no root.
# `make image` builds it; `make image-test` builds it, runs it hardened and tries it.

# By tag, since a digest names one day's base: a release looks up that of its day and pins it, as in
# BASE=docker.io/library/python:3.13-slim-bookworm@sha256:...
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/meshproxy
COPY requirements.lock ./
RUN python -m pip --python /opt/meshproxy/bin/python install \
        --no-compile --require-hashes --only-binary :all: -r requirements.lock
COPY meshproxy ./meshproxy
# A read-only container can never write bytecode, and without it an import takes three times as
# long. Unchecked: the files cannot change, so nothing is gained by looking at their times.
RUN cp -r meshproxy /opt/meshproxy/lib/python3.13/site-packages/ \
    && printf '%s\n' '#!/opt/meshproxy/bin/python' 'import sys' \
        'from meshproxy.__main__ import main' 'sys.exit(main())' > /opt/meshproxy/bin/meshproxy \
    && chmod 0755 /opt/meshproxy/bin/meshproxy \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/meshproxy/lib

# What is in the image, as CycloneDX; the tool that tells stays behind in this stage.
FROM build AS sbom

COPY config/container/sbom.lock ./
RUN python -m venv --without-pip /opt/sbom \
    && python -m pip --python /opt/sbom/bin/python install \
        --no-compile --require-hashes --only-binary :all: -r sbom.lock
COPY pyproject.toml ./
# It says what meshproxy itself depends on; the version is put where it says how to find it.
RUN version=$(python -c 'import meshproxy; print(meshproxy.__version__)') \
    && sed -i "s/^dynamic = .*/version = \"$version\"/" pyproject.toml \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --mc-type application \
        --pyproject pyproject.toml --output-file /sbom.cdx.json /opt/meshproxy/bin/python

FROM ${BASE}

ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="meshproxy" \
      org.opencontainers.image.description="The service-mesh sidecar that a developer can read, extend and trust." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

ENV PATH=/opt/meshproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MESHPROXY_CONFIG=/etc/meshproxy/meshproxy.yaml

COPY --from=build /opt/meshproxy /opt/meshproxy
COPY --from=sbom /sbom.cdx.json /usr/share/doc/meshproxy/sbom.cdx.json
COPY LICENSE /usr/share/doc/meshproxy/LICENSE

# A number, so that Kubernetes can prove runAsNonRoot without reading /etc/passwd.
USER 65532:65532
WORKDIR /
# inbound, outbound, metrics and probes; the admin port 15000 stays on the loopback
EXPOSE 15006 15001 15020
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s --retries=3 \
    CMD ["meshproxy", "healthcheck"]
ENTRYPOINT ["meshproxy"]
CMD ["run"]
