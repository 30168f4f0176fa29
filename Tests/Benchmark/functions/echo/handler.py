class Handler:
    """Answers with the bytes it was sent."""

    def __call__(self, req):
        return req.input
