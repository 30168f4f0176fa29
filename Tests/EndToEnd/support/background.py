"""What goes on while a test does something else."""
import concurrent.futures
import threading


def background(function, *arguments, **options):
    """Runs the function on a thread; the future has its result or its exception."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
