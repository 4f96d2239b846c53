"""Runs Thespian's own test suite in processes of its own, on our base or on the stock one, and reads the outcome of each test.

    python -m tests.conformance.suite ours|stock      prints the table of docs/conformance.md

Most of the suite's tests wait, so several processes share the work. A test that fails is run once more alone: the suite waits
fixed times for what other processes do, and a loaded machine is late now and then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from thespian import test as thespian_test

Base = Literal["ours", "stock"]
Outcome = Literal["passed", "skipped", "failed"]

PROCESSES = 4
_SELECTED = "multiprocTCPBase and not AdminRouting"
_LIMIT_S = 480.0

CANNOT_APPLY: dict[str, str] = {
    "test_preRegistration.py::TestFuncRegistration::test_RegistrationNotificationWithActorAddress": (
        "takes the IP address out of the text of an actor's address; ours is the name of a socket"
    ),
    "test_preRegistration.py::TestFuncRegistration::test_publicAddrDeRegistration": (
        "takes the IP address out of the text of an actor's address; ours is the name of a socket"
    ),
}
"""Tests that fail on our base, and why."""


def _command(base: Base) -> list[str]:
    plugin = ["-p", "tests.conformance.thespian_on_majula"] if base == "ours" else []
    return [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--timeout", "90"),
        *("-c", os.devnull, *plugin),
    ]


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("PYTHONUNBUFFERED", None)  # a test of the suite counts on a buffered child
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return environment


def collect(base: Base) -> list[str]:
    """The suite's tests for this base, as `file::class::test[...]`."""
    folder = Path(str(thespian_test.__file__)).parent
    done = subprocess.run(
        [*_command(base), "--collect-only", "-k", _SELECTED, f"--rootdir={folder}", str(folder)],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
        timeout=60,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def _run(base: Base, folder: Path, tests: list[str], processes: int) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as results:
        running = []
        for number in range(processes):
            mine = tests[number::processes]
            if mine:
                command = [*_command(base), f"--rootdir={folder}", f"--junitxml={results}/{number}.xml"]
                running.append(
                    subprocess.Popen(
                        [*command, *(str(folder / test) for test in mine)],
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env=_environment(),
                        cwd=folder,
                    )
                )
        for process in running:
            process.wait(_LIMIT_S)
        outcomes: dict[str, Outcome] = {}
        for path in Path(results).iterdir():
            for case in ElementTree.parse(path).iter("testcase"):
                outcomes[_identity(case)] = _outcome(case)
        return outcomes


def _identity(case: ElementTree.Element) -> str:
    classes = case.attrib["classname"].split(".")
    module = next(part for part in classes if part.startswith("test_"))
    inner = classes[classes.index(module) + 1 :]
    return "::".join([f"{module}.py", *inner, case.attrib["name"]])


def _outcome(case: ElementTree.Element) -> Outcome:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def run(base: Base) -> dict[str, Outcome]:
    """Run everything; the outcome of each test, by `file::class::test[parameters]`."""
    folder = Path(str(thespian_test.__file__)).parent
    tests = [test.rpartition("/")[2] for test in collect(base)]
    outcomes = _run(base, folder, tests, PROCESSES)
    again = [test for test in tests if outcomes.get(test, "failed") == "failed"]
    outcomes.update(_run(base, folder, again, 1) if again else {})
    return outcomes


def without_parameters(test: str) -> str:
    """The test's name as `CANNOT_APPLY` has it."""
    return test.partition("[")[0]


def main() -> None:
    """Print one row a file: passed, skipped, failed."""
    base: Base = "stock" if sys.argv[1:] == ["stock"] else "ours"
    outcomes = run(base)
    files: dict[str, Counter[str]] = {}
    for test, outcome in outcomes.items():
        files.setdefault(test.partition("::")[0], Counter())[outcome] += 1
    print("| file | passed | skipped | failed |\n|---|---|---|---|")
    for file, counts in sorted(files.items()):
        print(f"| {file} | {counts['passed']} | {counts['skipped']} | {counts['failed']} |")
    total = Counter(outcomes.values())
    print(f"| **all** | {total['passed']} | {total['skipped']} | {total['failed']} |")
    for test, outcome in sorted(outcomes.items()):
        if outcome == "failed":
            print(f"\nfailed: {test}")


if __name__ == "__main__":
    main()
