import json


class Handler:
    def __init__(self):
        pass

    def __call__(self, req):
        input_data = req.input
        json_data = json.loads(input_data.decode())

        return json.dumps(json_data)
