"""How tests are handed out: a classifier at a time, whoever dies meanwhile; against a simulation of workers."""

from types import SimpleNamespace

import pytest

from harness.classifiers.spec import parse_spec
from harness.suite.parameters import Cast
from harness.suite.scheduling import ByClassifier, units

ONE, TWO, THREE = "resnext101_32x8d_wsl", "resnext101_32x16d_wsl", "resnext101_32x8d"
CAST = Cast("paper", parse_spec(THREE), (parse_spec(ONE), parse_spec(TWO)), "full", parse_spec("resnext50_32x4d"))


class Worker:
    """A worker that knows which tests it was sent; it runs one only if it knows the next, or that there is none."""

    def __init__(self):
        self.waiting, self.shutting_down = [], False
        self.gateway = SimpleNamespace(id=id(self))

    def send_runtest_some(self, indices):
        self.waiting += indices

    def shutdown(self):
        self.shutting_down = True

    @property
    def can_run(self):
        return len(self.waiting) > 1 or (self.shutting_down and self.waiting)


def scheduler(tests, workers):
    config = SimpleNamespace(getoption=lambda name: None, getvalue=lambda name: ["popen"] * len(workers))
    found = ByClassifier(config, None, units([CAST]))
    for worker in workers:
        found.add_node(worker)
        found.add_node_collection(worker, tests)
    found.schedule()
    return found


def run(scheduler, tests, workers, *, dies=None):
    """Run all tests, the workers in turn; gives which worker ran which test. One of them dies in one test, once."""
    ran = []
    while any(worker.can_run for worker in workers):
        for place, worker in enumerate(list(workers)):
            if not worker.can_run:
                continue
            index = worker.waiting.pop(0)
            if tests[index] == dies:
                dies = None
                assert scheduler.remove_node(worker) == tests[index]
                workers[place] = Worker()
                scheduler.add_node(workers[place])
                scheduler.mark_test_pending(tests[index])
                scheduler.add_node_collection(workers[place], tests)
                scheduler.schedule()
                continue
            ran.append((place, tests[index]))
            scheduler.mark_test_complete(worker, index)
    assert scheduler.tests_finished
    assert not scheduler.has_pending
    return ran


def nodeids(classifiers, each=4):
    return [f"t.py::test_{k}[paper-{name}-mce]" for k in range(each) for name in classifiers]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_all_tests_of_a_classifier_are_one_workers_and_the_first_come_first(count):
    tests = nodeids((ONE, TWO, THREE))
    workers = [Worker() for _ in range(count)]
    ran = run(scheduler(tests, workers), tests, workers)
    assert sorted(test for _, test in ran) == sorted(tests)
    for name in (ONE, TWO, THREE):
        of_it = [(place, test) for place, test in ran if f"-{name}-" in test]
        assert len({place for place, _ in of_it}) == 1
        assert [test for _, test in of_it] == [test for test in tests if f"-{name}-" in test]


@pytest.mark.parametrize("tests", [[], nodeids((ONE,), 1), nodeids((ONE, TWO), 1), ["t.py::test_a", "t.py::test_b[x]"]])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_tests_are_run_all_the_same(tests, count):
    workers = [Worker() for _ in range(count)]
    ran = run(scheduler(tests, workers), tests, workers)
    assert sorted(test for _, test in ran) == sorted(tests)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("place", [0, 1, 5, 8, 11])
def test_what_a_worker_leaves_undone_is_taken_over(count, place):
    tests = nodeids((ONE, TWO, THREE))
    workers = [Worker() for _ in range(count)]
    ran = run(scheduler(tests, workers), tests, workers, dies=tests[place])
    assert sorted(test for _, test in ran) == sorted(tests)


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("t.py::test_a[paper-resnext101_32x8d_wsl-mce]", "paper-resnext101_32x8d_wsl"),
        ("t.py::test_a[paper-resnext101_32x8d]", "paper-resnext101_32x8d"),
        ("t.py::test_a[paper-resnext101_32x8d-mce-x]", "paper-resnext101_32x8d"),
        ("t.py::test_a[paper-resnext101_32x8d_wsl-resnext101_32x16d_wsl-mce]", "paper-resnext101_32x8d_wsl"),
        ("t.py::test_a[published-resnext101_32x8d-mce]", "t.py::test_a[published-resnext101_32x8d-mce]"),
        ("t.py::test_a[paper-mce]", "t.py::test_a[paper-mce]"),
        ("t.py::test_a", "t.py::test_a"),
    ],
    ids=["subject", "baseline", "longer_case", "neighbours", "published", "no_classifier", "no_study"],
)
def test_a_unit_is_a_classifier_of_a_study(nodeid, unit):
    assert units([CAST])(nodeid) == unit
