from models.words import polite

with open("data/greeting.txt") as file:
    GREETING = file.read().strip()


class Handler:
    def __init__(self):
        with open("data/greeting.txt") as file:
            self.greeting = file.read().strip()

    def __call__(self, req):
        import late

        assert self.greeting == GREETING
        return polite(self.greeting, req.input.decode()) + late.MARK
