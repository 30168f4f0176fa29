import FunctionConfig

/// What `dcf function init` begins a function with.
struct FunctionTemplate {
    /// Where the watcher's image is, as `make images` calls it.
    static let watcherRegistry = "dcf"

    let name: FunctionName
    let runtime: String

    /// The lines of its part of the config.
    var config: [String] {
        [
            "runtime: \(runtime)",
            "desc: \"\"",
            "maintainer: \"\"",
            "handler:",
            "  dir: ./\(name)",
            "  file: handler.py",
            "  name: Handler",
            "image: \(name)",
        ]
    }

    /// The files of its folder, by name.
    var files: [(name: String, text: String)] {
        [("handler.py", Self.handler), ("requirements.txt", Self.requirements), ("Dockerfile", Self.dockerfile)]
    }

    private static let handler = #"""
        class Handler:
            """One is made per replica; after that it is called once per request."""

            def __init__(self, parameters):
                # Load the model here: this runs once, before the first call.
                # `parameters` is what config.yaml says under `parameters`, {} without it.
                self.parameters = parameters

            def __call__(self, req):
                # req.input is exactly the bytes that the caller sent; req.info tells name, version and limits.
                # Return text or bytes.
                return req.input

        """#

    private static let requirements = """
        # One package a line, as pip reads it; installed for this function alone.

        """

    private static let dockerfile = """
        # The function as an image; where it runs as a process this is not looked at.
        ARG REGISTRY=\(watcherRegistry)
        ARG WATCHER_VERSION=\(Release.version)
        ARG PYTHON_VERSION=3.12

        FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher

        # Any base will do that has Python 3.9 or later, and glibc 2.34 or later: not Alpine.
        FROM python:${PYTHON_VERSION}-slim-bookworm

        # What the config says under build_packages.
        ARG BUILD_PACKAGES
        RUN if [ -n "${BUILD_PACKAGES}" ]; then \\
                apt-get update && apt-get install -y --no-install-recommends ${BUILD_PACKAGES} \\
                && rm -rf /var/lib/apt/lists/*; \\
            fi

        ARG handler_file=handler.py
        ARG handler_name=Handler

        ENV HANDLER_DIR=/dcf/handler
        ENV HANDLER_FILE=${HANDLER_DIR}/${handler_file}
        ENV HANDLER_NAME=${handler_name}
        ENV DCF_CONTAINER=1

        COPY --from=watcher /dcf/watcher /dcf/watcher
        WORKDIR ${HANDLER_DIR}
        COPY requirements.txt .
        RUN if grep -q '^[^#]' requirements.txt; then \\
                PIP_BREAK_SYSTEM_PACKAGES=1 PYTHONDONTWRITEBYTECODE=1 \\
                python3 -m pip install --no-cache-dir -r requirements.txt; \\
            fi
        COPY . .

        HEALTHCHECK --interval=1s CMD [ -e /tmp/.lock ] || exit 1

        ENTRYPOINT ["/dcf/watcher/dcf-watcher"]

        """
}
