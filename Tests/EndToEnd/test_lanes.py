"""Every test runs in exactly one lane (support/lanes.py), and scripts/lanes.py runs every lane."""
import pathlib
import runpy
import subprocess
import sys

from support.lanes import LANES

ROOT = pathlib.Path(__file__).parents[2]
RUNNER = runpy.run_path(str(ROOT / "scripts/lanes.py"))


def collected(*arguments):
    """The names of the tests that pytest would run here."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "--assert=plain"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_lanes_have_each_test_once():
    parts = [collected("--lane", lane) for lane in LANES]
    assert all(parts)
    assert sorted(sum(parts, [])) == sorted(collected())


def test_every_lane_is_run():
    parts = {name: [arguments for folder, arguments in parts if folder == "EndToEnd"]
             for name, parts in {**RUNNER["TOGETHER"], **RUNNER["AFTERWARDS"]}.items()}
    assert parts.keys() == set(LANES)
    assert list(RUNNER["AFTERWARDS"]) == ["alone"]
    for name, each in parts.items():
        assert each[0] == ["--lane", name]
    # With functions that are images, every test is of the lane of engines or alone.
    assert [name for name, each in parts.items() if len(each) > 1] == ["engine", "alone"]
    files = {name: {word for word in parts[name][1] if word.endswith(".py")} for name in ("engine", "alone")}
    assert files["alone"] <= files["engine"]
    assert all((ROOT / "Tests/EndToEnd" / file).exists() for file in files["engine"])


def test_the_watchers_tests_run_alone_or_in_the_first_lane():
    parts = [(name, arguments[-1]) for name, parts in {**RUNNER["TOGETHER"], **RUNNER["AFTERWARDS"]}.items()
             for folder, arguments in parts if folder == "Watcher"]
    assert parts == [("first", "not alone"), ("alone", "alone")]
