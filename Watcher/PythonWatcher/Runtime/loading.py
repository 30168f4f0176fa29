"""Finds the author's file and makes the handler of it."""

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader

IMPORT, CONSTRUCTOR, CONFIGURATION, WARM_UP = 1, 2, 3, 4

_VARARGS = 0x04
# Coroutines, generators that types.coroutine made one, asynchronous generators.
_ASYNC = 0x80 | 0x100 | 0x200


class LoadFailure(Exception):
    """The handler could not be made. `cause` is the author's exception, None when the configuration is wrong."""

    def __init__(self, stage, summary=None, cause=None):
        super().__init__(summary)
        self.stage = stage
        self.summary = summary
        self.cause = cause


class Location:
    """Where the handler is, as the environment tells: HANDLER_DIR, HANDLER_FILE and HANDLER_NAME."""

    advice = "see handler.file and handler.dir"

    def __init__(self, environ):
        self.folder = os.path.abspath(environ.get("HANDLER_DIR") or ".")
        self.path = os.path.join(self.folder, environ.get("HANDLER_FILE") or "handler.py")
        self.name = environ.get("HANDLER_NAME") or "Handler"

    def enter(self):
        """Makes the folder the place where files are opened and modules found."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise LoadFailure(CONFIGURATION, "the handler's folder %s: %s" % (self.folder, error.strerror))
        if sys.path and sys.path[0] == "":
            sys.path[0] = self.folder
        else:
            sys.path.insert(0, self.folder)
        sys.argv[:] = [self.path]

    @property
    def shown(self):
        """The file as the author knows it."""
        return relative(self.path, self.folder)


def relative(path, folder):
    """The path below the folder, or the whole path when it is elsewhere."""
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else path


class Handler:
    """What answers requests: `call`, the object that it belongs to, and the event loop if `call` is a coroutine's."""

    def __init__(self, call, owner, loop):
        self.call = call
        self.owner = owner
        self.loop = loop

    @property
    def is_async(self):
        return self.loop is not None


def load(location, parameters):
    """The handler; raises LoadFailure."""
    found = _find(location)
    # What the constructor makes may belong to the loop.
    loop = _open_loop() if _is_async(found) else None
    if isinstance(found, type):
        if not any("__call__" in base.__dict__ for base in found.__mro__):
            raise LoadFailure(
                CONFIGURATION,
                "class %s in %s cannot be called: it needs def __call__(self, req)" % (location.name, location.shown),
            )
        try:
            found = _construct(found, parameters)
        except BaseException as error:
            raise LoadFailure(CONSTRUCTOR, cause=error) from None
    return Handler(_entry(found), found, loop)


def _is_async(found):
    """Whether a call of it, or of an object of that class, must be awaited."""
    while hasattr(found, "func") and hasattr(found, "keywords"):
        # A functools.partial.
        found = found.func
    if not hasattr(found, "__code__") and not hasattr(found, "__func__"):
        kind = found if isinstance(found, type) else type(found)
        found = getattr(kind, "__call__", None)
    found = getattr(found, "__func__", found)
    if getattr(found, "_is_coroutine", None) is not None:
        return True
    return bool(getattr(getattr(found, "__code__", None), "co_flags", 0) & _ASYNC)


def _open_loop():
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _find(location):
    if not os.path.isfile(location.path):
        raise LoadFailure(
            CONFIGURATION,
            "%s is not in %s; %s" % (location.shown, location.folder, location.advice),
        )
    module = _import(location)
    try:
        found = getattr(module, location.name)
    except AttributeError:
        found = None
    if callable(found):
        return found
    what = "has no %s" % location.name if found is None else "has a %s that cannot be called" % location.name
    others = [name for name, value in vars(module).items() if _is_own(value, module)]
    hint = "; it defines %s" % ", ".join(others[:8]) if others else ""
    raise LoadFailure(CONFIGURATION, "%s %s%s; see handler.name" % (location.shown, what, hint))


def _is_own(value, module):
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _import(location):
    name = os.path.splitext(os.path.basename(location.path))[0]
    if name in sys.modules:
        # The file is called like a module that is in use, which must stay what it is.
        name = "handler_" + name
    loader = SourceFileLoader(name, location.path)
    spec = ModuleSpec(name, loader, origin=location.path)
    spec.has_location = True
    module = type(sys)(name)
    module.__spec__ = spec
    module.__loader__ = loader
    module.__file__ = location.path
    module.__package__ = ""
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:
        raise LoadFailure(IMPORT, cause=error) from None
    return sys.modules.get(name, module)


def _construct(kind, parameters):
    positional, named = _wants(kind)
    if named:
        return kind(parameters=parameters)
    return kind(parameters) if positional else kind()


def _wants(kind):
    """Whether __init__ has a required positional argument, and whether it can be given one named `parameters`."""
    init = kind.__init__
    code = getattr(init, "__code__", None)
    if init is object.__init__ or hasattr(init, "__wrapped__") or code is None:
        return (False, False) if init is object.__init__ else _inspect(kind)
    count = code.co_argcount
    names = code.co_varnames
    required = count - len(init.__defaults__ or ()) > 1
    named = "parameters" in names[max(1, code.co_posonlyargcount) : count + code.co_kwonlyargcount]
    # def __init__(*args) takes what comes, and needs nothing.
    return required and not (count == 0 and code.co_flags & _VARARGS), named


def _inspect(kind):
    """The same for a decorated or built-in __init__."""
    import inspect

    try:
        arguments = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return False, False
    positional = any(
        each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
        for each in arguments
    )
    named = any(
        each.name == "parameters" and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        for each in arguments
    )
    return positional, named


def _entry(handler):
    """What the loop calls: an object's bound __call__ is found once, not at every call."""
    for kind in type(handler).__mro__:
        call = kind.__dict__.get("__call__")
        if call is not None:
            return call.__get__(handler, type(handler)) if type(call) is type(load) else handler
    return handler
