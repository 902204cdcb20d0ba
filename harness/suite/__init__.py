"""What conftest.py's hooks call: options, studies as parameters, verdicts as they come in, and how they are shown."""
