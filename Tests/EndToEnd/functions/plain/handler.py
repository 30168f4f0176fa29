def Handler(req):
    return "plain:" + req.input.decode()
