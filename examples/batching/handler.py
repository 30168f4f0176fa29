"""Finds speech. In: sound. Out: a JSON object with one probability for each 32 ms.

One run of the model serves many sounds.
"""
import importlib.util
import json
import os

import numpy as np
import onnxruntime

RATE = 16_000
WINDOW = 512
#: How many samples of the previous window the model gets again.
CONTEXT = 64


def model_file():
    """The model inside the package silero-vad. The package itself is not imported, because it would load torch."""
    folder = importlib.util.find_spec("silero_vad").submodule_search_locations[0]
    return os.path.join(folder, "data", "silero_vad.onnx")


def samples(data):
    """The 16-bit samples of one channel as float32 from -1 to 1, padded to whole windows."""
    if not data or len(data) % 2:
        raise ValueError(f"{len(data)} bytes are not 16-bit samples")
    sound = np.frombuffer(data, "<i2").astype(np.float32) / 32768
    return np.pad(sound, (0, -len(sound) % WINDOW))


class Handler:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.model = onnxruntime.InferenceSession(model_file(), options, providers=["CPUExecutionProvider"])

    def __call__(self, reqs):
        replies, sounds = [None] * len(reqs), {}
        for n, req in enumerate(reqs):
            try:
                sounds[n] = samples(req.input)
            except ValueError as error:
                # Only this caller gets the error.
                replies[n] = error
        for n, speech in zip(sounds, self.listen(list(sounds.values()))):
            replies[n] = json.dumps({"seconds": round(len(reqs[n].input) / 2 / RATE, 3), "speech": speech})
        return replies

    def listen(self, sounds):
        """The probabilities of each sound. One run of the model takes one window of all sounds."""
        count, rate = len(sounds), np.array(RATE, np.int64)
        windows = max((len(sound) // WINDOW for sound in sounds), default=0)
        heard = np.zeros((count, windows * WINDOW), np.float32)
        for row, sound in zip(heard, sounds):
            row[:len(sound)] = sound
        state, context = np.zeros((2, count, 128), np.float32), np.zeros((count, CONTEXT), np.float32)
        speech = [[] for _ in sounds]
        for at in range(windows):
            window = heard[:, at * WINDOW:(at + 1) * WINDOW]
            probability, state = self.model.run(
                None, {"input": np.concatenate([context, window], axis=1), "state": state, "sr": rate})
            context = window[:, -CONTEXT:]
            for n, sound in enumerate(sounds):
                if at * WINDOW < len(sound):
                    speech[n].append(round(float(probability[n, 0]), 3))
        return speech
