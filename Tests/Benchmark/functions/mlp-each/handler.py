from model import WEIGHTS, Model


def Handler(req):
    """The model is made and its weights are loaded for each call, as a plain function has to."""
    model = Model()
    model.load_weights(WEIGHTS)
    return model.predict(req.input)
