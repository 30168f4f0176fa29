"""The stub of the native module describes the module that the library makes."""
import ast
import json
import pathlib

from test_calls import handler

STUB = pathlib.Path(__file__).parents[2] / "Watcher/PythonWatcher/Runtime/_dcf_watcher.pyi"

#: The names of the module and of its type.
NAMES = """
import _dcf_watcher, json
def public(names): return sorted(name for name in names if not name.startswith("_"))
return json.dumps([public(dir(_dcf_watcher)), public(dir(_dcf_watcher.Request))])
"""


def names(body):
    """The names that a module's or a class's body defines."""
    found = set()
    for each in body:
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)):
            found.add(each.name)
        elif isinstance(each, ast.AnnAssign):
            found.add(each.target.id)
    return sorted(name for name in found if not name.startswith("_"))


def test_the_stub_names_what_the_module_has(start):
    stub = ast.parse(STUB.read_text()).body
    (request,) = (each for each in stub if isinstance(each, ast.ClassDef) and each.name == "Request")
    assert json.loads(start(handler(NAMES)).started().reply(b"")) == [names(stub), names(request.body)]
