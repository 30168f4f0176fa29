"""The model of examples/batching, for one caller at a time and for many."""
from batching import Handler as Batch


class Single(Batch):
    def __call__(self, req):
        (reply,) = super().__call__([req])
        return reply
