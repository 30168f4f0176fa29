import mesh


class Handler:
    """Answers with what echo answers."""

    def __call__(self, req):
        return mesh.mesh_call("echo", req.input)
