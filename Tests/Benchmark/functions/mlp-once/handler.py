from model import WEIGHTS, Model


class Handler:
    """The model is made and its weights are loaded once."""

    def __init__(self):
        self.model = Model()
        self.model.load_weights(WEIGHTS)

    def __call__(self, req):
        return self.model.predict(req.input)
