import FunctionConfig

/// The files and the config of a new function: what `dcf function init` writes.
struct FunctionTemplate {
    /// The place of the watcher's image, as `make images` names it.
    static let watcherRegistry = "dcf"

    let name: FunctionName
    let runtime: String

    /// The lines of the function's config.
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

    /// The files of the function's folder, by name.
    var files: [(name: String, text: String)] {
        [("handler.py", Self.handler), ("requirements.txt", Self.requirements), ("Dockerfile", Self.dockerfile)]
    }

    private static let handler = #"""
        class Handler:
            """Each replica makes one instance, then calls it once for each request."""

            def __init__(self, parameters):
                # Load the model here: this runs once, before the first call.
                # `parameters` has the value of `parameters` in config.yaml, or {} without that key.
                self.parameters = parameters

            def __call__(self, req):
                # req.input has exactly the bytes that the caller sent; req.info has name, version and limits.
                # Return text or bytes.
                return req.input

        """#

    private static let requirements = """
        # One package on each line, as pip reads it. The packages are installed for this function only.

        """

    private static let dockerfile = """
        # Builds the function's image. A function that runs as a process does not use this file.
        ARG REGISTRY=\(watcherRegistry)
        ARG WATCHER_VERSION=\(Release.version)
        ARG PYTHON_VERSION=3.12

        FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher

        # Any base with Python 3.9 or later and glibc 2.34 or later works. Alpine does not.
        FROM python:${PYTHON_VERSION}-slim-bookworm

        # The value of build_packages in the config.
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
