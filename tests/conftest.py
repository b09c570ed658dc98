import os

import pytest
import torch
from hypothesis import settings

# examples have no time limit and are the same in every run
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that cause faults."""
    config.addinivalue_line("markers", "fault(count=1): the test causes `count` faults, all of which must be survived")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Record the number of faults that a test causes."""
    item.user_properties += [("faults", *(mark.args or [1])) for mark in item.iter_markers("fault")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the number of faults in the tests that ran."""
    outcomes = {"passed": 0, "failed": 0, "error": 0}
    for outcome in outcomes:
        for report in terminalreporter.getreports(outcome):
            outcomes[outcome] += dict(getattr(report, "user_properties", [])).get("faults", 0)
    if injected := sum(outcomes.values()):
        survived = outcomes["passed"]
        terminalreporter.write_line(f"{injected} faults injected, {survived} survived, {injected - survived} lost")


@pytest.fixture
def mirror() -> str:
    """A folder or URL with the original archives, from the variable MIRROR. Without it, the test is skipped."""
    if "MIRROR" not in os.environ:
        pytest.skip("the environment variable MIRROR names no folder or URL with the original archives")
    return os.environ["MIRROR"]
