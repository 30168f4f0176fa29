def polite(greeting, name):
    return f"{greeting}, {name}"
