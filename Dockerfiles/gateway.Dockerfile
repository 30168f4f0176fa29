# The gateway, with the command line and the watcher: functions run as processes in its container.
#
#     docker run -d --name dcf -p 127.0.0.1:32222:32222 -v dcf:/var/lib/dcf dcf/gateway:VERSION
#
# or with Dockerfiles/compose.yaml.
#
# `make images` builds it: the context has what `make install` installs. docs/images.md says more.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# The gRPC core, SQLite, and a Python with venv and pip for functions that name none of their own.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libgrpc29 libsqlite3-0 python3 python3-venv python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 32222 --create-home --home-dir /var/lib/dcf dcf

ARG VERSION
LABEL org.opencontainers.image.title="dcf gateway" org.opencontainers.image.version="${VERSION}"
COPY gateway /usr/local

USER dcf
VOLUME /var/lib/dcf
EXPOSE 32222
# A gateway that is told to listen elsewhere wants a health check of its own, with that --listen.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["dcf-gateway", "--healthy"]

# A container's loopback is its own: nobody outside could reach a gateway that listens there. So this one listens on every
# address of the container, without TLS, and says so at each start. Who can reach it is the choice of whoever publishes
# the port: -p 127.0.0.1:32222:32222 keeps it to the host.
#
# The first process is the launcher: it reaps what loses its parent, and hands SIGTERM on. A stop takes up to 45 s: give it that
# time (docker stop --time 50), as Docker's own default is 10 s.
ENTRYPOINT ["dcf-watcher", "--child", "--", "dcf-gateway", "--data-dir", "/var/lib/dcf", "--listen", "0.0.0.0:32222", "--allow-plaintext", "--limit", "lame-duck=5s"]
