"""The type of `req.http`."""


class Http:
    """How a call came over HTTP.

    `method` is as it was sent, `path` is what follows the function's name (at least "/"), `query` what follows the "?"
    (or ""), and `headers` a dict with names in lower case.
    """

    __slots__ = ("headers", "method", "path", "query")

    def __init__(self, method, path, query, headers):
        self.method, self.path, self.query, self.headers = method, path, query, headers

    def __repr__(self):
        return f"<Http {self.method} {self.path}{'?' if self.query else ''}{self.query}>"
