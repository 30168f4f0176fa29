# The gateway, with the command line and the watcher. Functions run as processes in its container.
#
#     docker run -d --name dcf -p 127.0.0.1:32222:32222 -v dcf:/var/lib/dcf dcf/gateway:VERSION
#
# Or use Dockerfiles/compose.yaml.
#
# `make images` builds this image. The context holds what `make install` installs. See docs/images.md.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# The gRPC core, SQLite, and a Python with venv and pip for functions that do not name a Python.
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
# A gateway that listens elsewhere needs a health check of its own, with the same --listen.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["dcf-gateway", "--healthy"]

# A container has its own loopback, and nothing outside could reach a gateway that listens there. This gateway therefore
# listens on every address of the container, without TLS, and logs a warning at each start. The person who publishes the
# port chooses who can reach it: -p 127.0.0.1:32222:32222 limits it to the host.
#
# The first process is the launcher. It reaps orphans and passes SIGTERM on. A stop takes up to 45 s, and Docker's
# default is 10 s. Use docker stop --time 50.
ENTRYPOINT ["dcf-watcher", "--child", "--", "dcf-gateway", "--data-dir", "/var/lib/dcf", "--listen", "0.0.0.0:32222", "--allow-plaintext", "--limit", "lame-duck=5s"]
