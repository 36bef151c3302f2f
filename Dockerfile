# The sidecar's image: dependencies by hash, bytecode compiled, no compiler, no root.
# Build it with `make image`; run it with a read-only root file system and no capabilities.

FROM docker.io/library/python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
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

FROM docker.io/library/python:3.13-slim-bookworm

LABEL org.opencontainers.image.title="meshproxy" \
      org.opencontainers.image.description="The service-mesh sidecar that a developer can read, extend and trust." \
      org.opencontainers.image.licenses="MIT"

ENV PATH=/opt/meshproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MESHPROXY_CONFIG=/etc/meshproxy/meshproxy.yaml

COPY --from=build /opt/meshproxy /opt/meshproxy
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
