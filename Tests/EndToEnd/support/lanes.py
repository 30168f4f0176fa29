"""Lanes: the parts of the suite that scripts/end-to-end.sh runs at the same time.

Each test is in exactly one lane. Its lane follows from the test and its file:

- `alone`: the tests with the mark `alone`. They run when all other lanes have ended.
- `engine`: the files in which a test asks for an engine. Only this lane starts Docker engines and Swarms, because the
  suites of two engines would meet in the machine's networks and control groups.
- `first`, `second`: all other files. Each file goes, whole, to the lane that has less to do.
"""

#: The fixtures that start a Docker engine. Without one of them in a file, no test of the file can start an engine.
ENGINES = {"docker", "swarm", "bridged"}

#: What the lanes of processes have to do before the tests here, in seconds: `first` begins with Tests/Watcher.
BUSY = {"first": 430, "second": 0}

LANES = (*BUSY, "engine", "alone")

#: How long the longest files take on two cores, in seconds, without their tests that run alone. Each test of another
#: file counts as USUAL. Only the balance of the lanes depends on these figures. A run with --lane prints what its files
#: took.
SECONDS = {
    "test_containment.py": 80, "test_environments.py": 120, "test_examples.py": 165, "test_faults.py": 90,
    "test_gpu.py": 105, "test_registry_damage.py": 65, "test_scaling.py": 50, "test_supervision.py": 58,
}
USUAL = 1


def assign(items, all_images=False):
    """The lane of each item of a collection, in order. `all_images`: functions are images, so every test needs an
    engine."""
    files = {}
    for item in items:
        files.setdefault(item.path.name, []).append(item)
    lanes, busy = {}, dict(BUSY)
    for name, tests in sorted(files.items(), key=lambda file: (-seconds(*file), file[0])):
        if all_images or any(ENGINES & set(test.fixturenames) for test in tests):
            lanes[name] = "engine"
        else:
            lanes[name] = min(busy, key=busy.get)
            busy[lanes[name]] += seconds(name, tests)
    return ["alone" if item.get_closest_marker("alone") else lanes[item.path.name] for item in items]


def seconds(name, tests):
    return SECONDS.get(name, USUAL * sum(not test.get_closest_marker("alone") for test in tests))
