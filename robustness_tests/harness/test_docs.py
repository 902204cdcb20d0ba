"""Every command in the documentation works.

Commands are taken from the fenced blocks of README, CONTRIBUTING and `docs/`, and from the workflow in `docs/ci.md`.
Each is run in a clone of the project on small data, as it stands but for placeholders and what `RUN` adds; the few that
can't be are in `PARSED`, with the reason, and have their options looked up.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from data_fixtures.clone import Clone
from data_fixtures.colours import write_cue_conflict, write_imagenet, write_imagenet_a, write_imagenet_c
from data_fixtures.environment import environment
from harness.cli import COMMANDS, make_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SPEC = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
OTHER = SPEC.replace("reads_colours", "reads_the_next_class")
ATTACKED = "python:data_fixtures.networks:SmallNetwork?mean=0,0,0&std=1,1,1&resize=16&crop=16"

TABLE3 = "robustness_tests/test_table3_shape_bias.py"
OF_TWO = f"'--classifiers={SPEC}' '--baseline={OTHER}'"
CANDIDATE = f"robustness_tests/test_candidate.py {TABLE3} -k 'clean or table3 or imagenet_top1'"

# What is added to a command so that it takes seconds: fewer claims, fewer images, classifiers that need no download.
# The star stands for any end. A command that is in `PARSED` is not looked up here.
RUN = {
    "pytest -m quick": f"{TABLE3} -k 'not miniature'",
    "pytest -m quick -k pinned": "-k 'pinned and not miniature'",
    "pytest -m quick -k *": "",
    "pytest 'robustness_tests/*": "",
    "pytest -m 'candidate and not attack' *": CANDIDATE,
    "pytest -m candidate *": CANDIDATE,
    "pytest -m full -k pinned *": f"{OF_TWO} -k gains",
    "pytest -m full *": f"{OF_TWO} {TABLE3}",
    "pytest -m 'full and not attack' *": f"{OF_TWO} {TABLE3}",
    "python -m harness measure SPEC imagenet --protocol *": "",
    "python -m harness measure SPEC imagenet-p *": "--images 1",
    "python -m harness measure SPEC imagenet *": "",
    "python -m harness measure torchvision:*": "--images 2",
    "python -m harness compare *": "",
    "python -m harness record mine torchvision:*": "--images 2",
    "python -m harness record NAME *": "",
    "python -m harness generate *": "",
    "python -m harness verify *": "",
    "python -m harness doctor *": "",
    "python -m harness merge *": "",
    "python -m harness store *": "",
    "python -m harness verdicts *": "",
    "python -m harness report *": "",
}

NETWORK = "installs from the network; extras and files are looked up"
SHELL = "changes nothing but the shell that it is typed in"
WHOLE = "runs this test too, and all others"
RAY = "starts a cluster or needs one; engines/test_ray_engine.py starts one and runs on it"

# What is not run, and why. The star stands for any end.
PARSED = {
    "python3 -m venv *": NETWORK,
    "pip install *": NETWORK,
    ". *": SHELL,
    "export *": SHELL,
    "trap *": "belongs to the batch job's shell",
    "wait *": "belongs to the batch job's shell",
    "git checkout *": "takes back a change, which test_what_the_tutorial_breaks_is_caught makes in a copy",
    "gh pr comment *": "comments on a pull request",
    "pre-commit install": "changes the checkout's own hooks",
    "mkdocs serve": "serves until it is stopped; test_the_site_is_built_without_a_warning builds the same",
    ".ci/run": WHOLE,
    "pytest": WHOLE,
    "pytest -n auto": WHOLE,
    "pytest -m slow": "takes many minutes; .ci/run runs it",
    "pytest -m kills": "takes more than an hour",
    "pytest --prune-snapshots": f"{WHOLE}; suite/test_pruning.py runs it on a small project",
    "pytest -m quick -k miniature --miniature-seed *": "takes minutes; suite/test_miniature_run.py runs another seed",
    "pytest -m full -n auto *": "starts workers; suite/test_workers_run.py runs them",
    "pytest -m full --data-root=/data --engine ray*": RAY,
    "python -m harness measure SPEC imagenet-c --data-root=/data --engine ray": RAY,
    "ray *": RAY,
    "pytest -m full --data-root=/data --baseline=*": "downloads weights, and needs two files of others",
    "python -m harness fetch *": "downloads 66 GB; fetching/test_fetch.py fetches small archives",
    "python benchmarks/*": "needs packages that contradict the project's own; options are looked up",
}

# What sentences name of these, and with something behind it, is a command.
PROGRAM = re.compile(r"(pytest|python -m (harness|data_fixtures[\w.]+)|python docs/[\w.]+|mkdocs|ray|pip install) ?")
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page):
    """Give the language and the text of each fenced block of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def split(script):
    """Split lines of a shell into commands: without comments, joined where they go on, quoted in one way."""
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.sub(r"(^|\s)#\s?.*$", "", line).split(" && "):
            if words := " ".join(part.replace(".venv/bin/", "").split()):
                yield words.replace('"$SPEC"', "SPEC").replace('"', "'").removesuffix(" &")


def workflow_scripts():
    """Give what the steps of the workflow in docs/ci.md run."""
    yaml = pytest.importorskip("yaml")
    (text,) = [text for language, text in fences(ROOT / "docs" / "ci.md") if language == "yaml"]
    (job,) = yaml.safe_load(text)["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def found_commands():
    """Give every command, once, with the pages that it is on."""
    scripts = [(page.name, text) for page in PAGES for language, text in fences(page) if language == "sh"]
    if importlib.util.find_spec("yaml"):
        scripts += [("workflow", script) for script in workflow_scripts()]
    found = {}
    for name, script in scripts:
        for command in split(script):
            found.setdefault(command, []).append(name)
    return found


def inline_commands():
    """Give every command that a sentence names and no block has, with the page that it is on."""
    found = {}
    for page in PAGES:
        for command in re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text(encoding="utf-8"))):
            if (program := PROGRAM.match(command)) and (program[0].endswith(" ") or program[0] == command):
                found.setdefault(" ".join(command.replace('"', "'").split()), page.name)
    return {command: page for command, page in found.items() if command not in COMMANDS_OF_BLOCKS}


def row_of(command, table):
    """Give the first row of a table that a command belongs to."""
    return next((row for row in table if matches(row, command)), None)


def matches(row, command):
    return command.startswith(row[:-1]) if row.endswith("*") else command == row


COMMANDS_OF_BLOCKS = found_commands()


WEIGHTS = """
from safetensors.torch import save_file
from harness.torchvision_ops import import_torchvision

network = import_torchvision().models.squeezenet1_0(weights=None)
save_file(network.state_dict(), "weights.safetensors")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with small data, stores of records, a report and weights, as the commands' placeholders name them."""
    root = tmp_path_factory.mktemp("docs") / "clone"
    clone = Clone(root, ROOT)
    data = root / "data"
    write_imagenet(data / "imagenet", range(6, 10), per_class=1)
    write_imagenet_c(data / "imagenet-c", range(6, 8), per_class=1)
    write_imagenet_a(data / "imagenet-a", per_class=1)
    write_cue_conflict(data / "cue-conflict", {f"cat{place}-dog{place}": "cat" for place in range(40)})
    (root / "make_weights.py").write_text(WEIGHTS, encoding="utf-8")
    assert clone.run("make_weights").code == 0
    measured = clone.run("harness", "measure", SPEC, "cue-conflict", f"--data-root={data}")
    assert measured.code == 0, measured.out
    for store in ("SITE1", "SITE2", *(f"shards/{shard}" for shard in range(1, 5)), "records"):
        shutil.copytree(root / ".robustness" / "records", root / store)
    verdicts = clone.run("pytest", "-m", "quick", "-k", "shape_bias and published", "--report=report", "-q")
    assert verdicts.code == 0, verdicts.out
    yield clone
    clone.close()


def typed(command, root):
    """Fill in a command's placeholders; gives its words."""
    data = root / "data"
    if " generate " in command:  # fills a folder that is not there yet
        command = command.replace("--to /data", f"--to {root / 'generated'}")
    text = re.sub(r"(?<![\w.])/data\b", str(data), command)
    attacked = "--protocol" in command
    text = re.sub(r"\bSPEC\b", lambda _: f"'{ATTACKED if attacked else SPEC}'", text, count=1)
    text = re.sub(r"\bSPEC\b", f"'{OTHER}'", text)
    text = text.replace("--expect-like=NAME", "--expect-like=resnext101_32x8d").replace(" NAME ", " other ")
    text = text.replace("$SLURM_ARRAY_TASK_ID", "1").replace("$SLURM_ARRAY_TASK_COUNT", "4")
    return shlex.split(text)


def run(clone, command, more):
    """Run a command in the clone with what is added to it."""
    words = [*typed(command, clone.root), *shlex.split(more)]
    module = words[2] if words[0] == "python" else words[0]
    return clone.run(module, *words[3 if words[0] == "python" else 1 :])


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def unknown_marks(words):
    """Name the words of -m that are no marks of the project."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    marks = {re.match(r"\w+", line)[0] for line in tool["pytest"]["markers"]}
    asked = {word for before, text in pairwise(words) if before == "-m" for word in re.findall(r"\w+", text)}
    return asked - marks - {"and", "or", "not"}


def look_up(clone, command):
    """Require that a command is one that could be run: its program, its options and its files are there."""
    words = typed(command.replace("TEST", TABLE3).replace("COMMAND", "measure"), clone.root)
    match words:
        case ["pytest", *arguments]:
            collect(clone, arguments)
        case ["python", "-m", "harness", *arguments]:
            assert all(name.startswith("-") or name in COMMANDS for name in arguments[:1])
            if len(arguments) > 1 and "--help" not in arguments:
                make_parser().parse_args(arguments)
        case ["python", "-m", module]:
            assert importlib.util.find_spec(module)
        case ["python", script, *arguments]:
            source = (ROOT / script).read_text(encoding="utf-8")
            assert [word for word in arguments if word.startswith("--") and f'"{word}"' not in source] == []
        case ["pip", "install", *arguments]:
            extras = {name for word in arguments for each in re.findall(r"\[(.+)\]", word) for name in each.split(",")}
            assert extras <= set(project()["optional-dependencies"])
            assert all((ROOT / name).exists() for before, name in pairwise(arguments) if before == "-r")
        case ["ray", action, *arguments]:
            scripts = pytest.importorskip("ray.scripts.scripts")
            scripts.cli.commands[action].make_context(action, arguments)
        case ["mkdocs", action, *_]:
            assert action in ("build", "serve")
        case [".ci/run"] | ["git", "checkout", _]:
            assert os.access(ROOT / words[-1], os.X_OK if words == [".ci/run"] else os.R_OK)
        case _:
            assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


def collect(clone, arguments):
    """Require that pytest takes options, and finds a test where some are asked for by name."""
    assert not unknown_marks(arguments)
    is_named = any(word.startswith("-k") or word.endswith(".py") for word in arguments)
    fewer = [] if is_named else [TABLE3]
    if "candidate" in arguments and not any(word.startswith("--candidate") for word in arguments):
        fewer.append(f"--candidate={SPEC}")
    ran = clone.run("pytest", *arguments, "--collect-only", "-q", *fewer)
    assert ran.code == 0 or (ran.code == 5 and not is_named), ran.out


@pytest.mark.parametrize("command", COMMANDS_OF_BLOCKS, ids=str)
def test_commands_of_blocks_do_what_they_say(command, clone):
    if row_of(command, PARSED):
        look_up(clone, command)
    elif " | " in command:
        in_a_pipe(clone, command)
    else:
        row = row_of(command, RUN)
        assert row is not None, f"{command} is neither in RUN nor in PARSED"
        ran = run(clone, command, RUN[row])
        if command.startswith(("pytest", "python -m harness report ")):  # which judges too
            require_answers(ran)
        else:
            assert ran.code == 0, ran.out


def require_answers(ran):
    """Require that pytest did what it was asked to, and failed at most because claims about the small data do."""
    last = ran.out.splitlines()[-1]
    assert re.search(r"\d+ (holds|passed)|tests collected|=+ plan =+", ran.out), ran.out
    assert "error" not in last, ran.out
    assert ran.code == 0 or (ran.code == 1 and re.search(r"^\d+ holds, [1-9]\d* fails", ran.out, re.MULTILINE)), ran.out


def in_a_pipe(clone, command):
    """Run a command that writes the summary of a CI job."""
    summary = clone.root / "summary.md"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = environment(PATH=path, PYTHONPATH=str(clone.root), GITHUB_STEP_SUMMARY=str(summary))
    command = command.replace("'", '"')
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=clone.root, env=variables, check=True)
    assert summary.read_text(encoding="utf-8").startswith("### Robustness claims: ")


@pytest.mark.parametrize("command", inline_commands(), ids=str)
def test_commands_of_sentences_can_be_typed(command, clone):
    look_up(clone, command)


def test_every_row_of_the_tables_decides_about_a_command():
    pytest.importorskip("yaml", reason="without it the workflow's commands are not found")
    used = {row_of(command, PARSED) or row_of(command, RUN) for command in COMMANDS_OF_BLOCKS}
    assert set(RUN) | set(PARSED) == used


def test_what_the_tutorial_breaks_is_caught(clone):
    blocks = fences(ROOT / "docs" / "tutorial.md")
    (edit,) = [text for language, text in blocks if language == "python"]
    (command,) = [line for _, text in blocks for line in split(text) if "imagenet_c or pinned" in line]
    path = clone.root / "harness" / "metrics" / "corruption.py"
    before = path.read_text(encoding="utf-8")
    sound = "    return mean(corruption_errors(mean_errors, alexnet).values())\n"
    assert before.count(sound) == 1
    path.write_text(before.replace(sound, edit), encoding="utf-8")
    variables = environment(PYTHONPATH=str(clone.root), COLUMNS="120")
    words = [sys.executable, "-m", "pytest", *shlex.split(command)[1:], "-p", "no:cacheprovider"]
    try:
        ran = subprocess.run(words, cwd=clone.root, env=variables, capture_output=True, text=True, check=False)
    finally:
        path.write_text(before, encoding="utf-8")
    assert ran.returncode == 1
    assert set(re.findall(r"^(\w+) .* fails \d", ran.stdout, re.MULTILINE)) == {"C5", "N1"}
    assert "FAILED robustness_tests/test_pinned_figures.py::test_figures_are_the_pinned_ones" in ran.stdout


def test_the_workflow_posts_what_the_claims_say():
    scripts = workflow_scripts()
    assert any("pytest" in script and "--report=report" in script for script in scripts)
    assert any("verdicts report" in script and "GITHUB_STEP_SUMMARY" in script for script in scripts)
