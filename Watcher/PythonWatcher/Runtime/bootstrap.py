"""The first of the runtime to run: makes the rest importable, then becomes what the launcher was asked for."""

import sys

import _dcf_watcher

# What defined this in the launcher's `-c` is not for the author's __main__.
for _name in [each for each in vars(sys.modules["__main__"]) if not each.startswith("__")]:
    del vars(sys.modules["__main__"])[_name]

_module = type(sys)("_dcf_importing")
# The launcher's copy: what an author takes out of `builtins`, or puts in, is nothing to the runtime.
vars(_module)["__builtins__"] = __builtins__
exec(compile(_dcf_watcher.source("importing"), "<dcf>/_dcf_importing.py", "exec"), vars(_module))
_module.install(_module, sys.argv[1])

mode, parent = sys.argv[2], int(sys.argv[3])
name = "_dcf_" + (mode if mode in ("once", "template") else "container" if sys.argv[4] == "contained" else "link")
_module.load(name).run(parent)
