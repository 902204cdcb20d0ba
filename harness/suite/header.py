"""What a run says before it collects: on what it measures, with which versions, which data there is, which store.

By what is cheap to learn: `pytest --collect-only` says it too, and imports neither torch nor pyarrow.
"""

from harness.benchmarks.catalog import describe_all
from harness.engines.gpus import gpu_models
from harness.engines.settings import Settings, default_workers
from harness.errors import RecordsError
from harness.records.store import RecordStore
from harness.suite.options import Request
from harness.suite.summary import versions

_VERSIONS = ("torch", "torchvision", "foolbox", "numpy")


def lines(request: Request) -> list[str]:
    """Give the header's lines: device and versions, data, store.

    Args:
        request: What the user asked for.
    """
    known = versions()
    return [
        f"device: {device(request.settings, known['torch'])}, {request.settings.precision}",
        "versions: " + ", ".join(f"{name} {known[name]}" for name in _VERSIONS),
        f"data root: {data(request)}",
        f"records: {request.records}, {store(request)}",
    ]


def device(settings: Settings, torch: str) -> str:
    """Say on what classifiers are run.

    Args:
        settings: How to measure.
        torch: Its version, which says of a build that it knows no GPUs.
    """
    if not settings.engine.is_local:
        return f"{settings.device} of the Ray cluster"
    models = [] if torch.endswith("+cpu") else gpu_models()
    if settings.device == "cpu" or (settings.device == "auto" and not models):
        cores = default_workers()
        return f"cpu, {cores} core{'s' * (cores > 1)}"
    _, _, number = settings.device.partition(":")
    if number and int(number) < len(models):
        return f"{settings.device}, {models[int(number)]}"
    if number or not models:
        return f"{settings.device}, which the driver does not describe"
    return "cuda, " + ", ".join(f"{models.count(model)} {model}" for model in dict.fromkeys(models))


def data(request: Request) -> str:
    """Say where data is looked for, which benchmarks are there and which are not."""
    described = describe_all(request.roots)
    there = ", ".join(filter(None, described.values())) or "nothing"
    missing = ", ".join(name for name, words in described.items() if not words) or "nothing"
    return f"{request.roots.root or 'not given'}; found {there}; missing {missing}"


def store(request: Request) -> str:
    """Say how much is in the store: of how many classifiers on how many benchmarks there are records."""
    try:
        runs = RecordStore(request.records).runs()
    except RecordsError as error:
        return str(error).removeprefix("records: ")
    if not runs:
        return "no runs yet"
    return f"{len(runs)} run{'s' * (len(runs) > 1)} of {', '.join(dict.fromkeys(run.parent.name for run in runs))}"
