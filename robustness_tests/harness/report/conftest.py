"""Verdicts as reports hold them, and a report to look at."""

import pytest

from robustness_tests.harness.suite.conftest import repository, run_suite

__all__ = ["entry", "repository", "run_suite"]


@pytest.fixture
def entry():
    """Give the function that makes a verdict, all of whose fields may be said."""

    def make(**said):
        made = {
            "claim": "C1",
            "test": "robustness_tests/test_table1.py::test_it[published-wide-mce]",
            "study": "published",
            "subject": "wide",
            "metric": "mce",
            "statement": "C1: it is better.",
            "verdict": "holds",
            "value": 0.5,
            "bound": 0.6,
            "interval": [0.45, 0.55],
            "alpha": 0.001,
            "images": 300,
            "protocol": "classify",
            "reason": None,
            "relation": "< 60 %",
            "margin": 0.1,
            "percent": True,
            "tags": {},
            "is_drawn": False,
            "images_needed": None,
            "is_good_news": False,
            "topic": "Table 1: corruptions",
            "quantity": "mce",
            "expected": None,
        }
        assert said.keys() <= made.keys()
        return {**made, **said}

    return make
