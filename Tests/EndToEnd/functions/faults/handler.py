"""Everything that a handler can do to the process it runs in. The input says what."""
import ctypes
import os
import signal
import sys
import threading
import time


def who():
    """Its process id, and which processes that counts among."""
    return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"


class Handler:
    def __call__(self, req):
        word, _, rest = req.input.decode().partition(" ")
        return getattr(self, word)(rest)

    def pid(self, rest):
        return who()

    def sleep(self, rest):
        time.sleep(float(rest))

    def die(self, rest):
        os._exit(int(rest or 0))

    def segfault(self, rest):
        ctypes.string_at(0)

    def abort(self, rest):
        os.abort()

    def close_all(self, rest):
        os.closerange(0, 65536)
        return "closed"

    def fork_exit(self, rest):
        """A child that ends by itself; the parent goes on."""
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return "forked"

    def fork_return(self, rest):
        """A child that comes back out of the handler, as if it were the watcher."""
        child = os.fork()
        if child == 0:
            return "from the child"
        return "from the parent"

    def fork_stay(self, rest):
        """A child that outlives the call and holds what the parent had open."""
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        return who().replace(str(os.getpid()), str(child), 1)

    def fork_and_die(self, rest):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        os._exit(1)

    def write_one(self, rest):
        os.write(1, b"raw words on descriptor one\n")
        print("printed words")
        sys.stderr.write("words on stderr\n")
        return "written"

    def garbage_one(self, rest):
        os.write(1, bytes(range(256)) * 16 + b"\n")
        return "written"

    def ignore_term(self, rest):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return "ignored"

    def thread(self, rest):
        found = []
        workers = [threading.Thread(target=lambda n=n: found.append(n)) for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return str(len(found))

    def thread_forever(self, rest):
        threading.Thread(target=lambda: time.sleep(600)).start()
        return "started"

    def subprocess(self, rest):
        import subprocess

        return subprocess.run(["echo", rest], stdout=subprocess.PIPE, check=True).stdout

    def stdin(self, rest):
        return repr(sys.stdin.read())
