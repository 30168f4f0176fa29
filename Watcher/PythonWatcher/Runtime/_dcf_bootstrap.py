"""The first module of the runtime to run: makes the others importable, then runs the one for the launcher's mode."""

import sys

import _dcf_watcher

# The launcher's `-c` program defined these names in __main__; the author's code must not see them there.
for _name in [each for each in vars(sys.modules["__main__"]) if not each.startswith("__")]:
    del vars(sys.modules["__main__"])[_name]

_module = type(sys)("_dcf_importing")
# The launcher's copy: the runtime does not see what the author's code adds to `builtins` or removes from it.
vars(_module)["__builtins__"] = __builtins__
exec(compile(_dcf_watcher.source("_dcf_importing"), "<dcf>/_dcf_importing.py", "exec"), vars(_module))
_module.install(_module, sys.argv[1])

# `replica`, `template` or `once`.
mode, parent, is_contained = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "contained"
name = "_dcf_" + ("container" if mode == "replica" and is_contained else mode)
_module.load(name).run(parent)
