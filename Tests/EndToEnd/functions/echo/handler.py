class Handler:
    def __call__(self, req):
        return req.input
