import FunctionConfig

/// What `dcf function init` begins a function with.
struct FunctionTemplate {
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
        # For the function as an image; not needed where it runs as a process.
        ARG REGISTRY
        ARG WATCHER_VERSION=\(Release.version)

        FROM ${REGISTRY}/watcher:${WATCHER_VERSION}-python3 as watcher

        # Any base with a Python and glibc 2.34 or later.
        FROM python:3.12-slim-bookworm

        ARG handler_file=handler.py
        ARG handler_name=Handler

        ENV HANDLER_DIR=/dcf/handler
        ENV HANDLER_FILE=${HANDLER_DIR}/${handler_file}
        ENV HANDLER_NAME=${handler_name}

        COPY --from=watcher /dcf/watcher ${HANDLER_DIR}
        WORKDIR ${HANDLER_DIR}
        COPY requirements.txt .
        RUN pip3 install --no-cache-dir -r requirements.txt
        COPY . .

        HEALTHCHECK --interval=1s CMD [ -e /tmp/.lock ] || exit 1

        ENTRYPOINT ["python3"]
        CMD ["server.py"]

        """
}
