import json
import pickle


class Handler:
    def __init__(self):
        pass

    def __call__(self, req):
        pickle_data = req.input
        data = pickle.loads(pickle_data)

        return json.dumps(data)
