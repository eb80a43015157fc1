"""What Locust's own page asks beside its usual fields, and what is made of it when a test starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from locust import events
from locust.exception import StopTest
from locust.runners import MasterRunner

from sextant.answers import kind
from sextant.errors import SextantError
from sextant_client.credentials import Credentials
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_loadtest.callers import protocol_of
from sextant_loadtest.curves import CURVES
from sextant_loadtest.swarm.users import Asking, users_of
from sextant_loadtest.target import contract_of, inputs_of, target_of
from sextant_server.address import read_address

NOBODY = Credentials()


def listen() -> None:
    """Have Locust ask for a pipeline, and start every test with what it answers."""
    events.init_command_line_parser.add_listener(_add_options)
    events.test_start.add_listener(_begin)


def _add_options(parser: Any) -> None:
    add = parser.add_argument  # its own, and not a group's: only what it has seen comes on the page
    add("--pipeline", default="locate", help="The page of a pipeline, or the name of what is served")
    add("--shape", choices=list(CURVES), default="steady", help="How many users there are when, in a time to run")
    add("--inputs", default="", help="A file of rows to ask with")
    add("--rows", type=int, default=1, help="Rows of one request")
    add("--rate", type=float, default=0.0, help="Requests a second of each user at most; 0 is no limit")
    add("--seed", type=int, default=0, help="Draws the rows")
    add("--store", default="var/store", help="The store of the release; without a host, its server is asked")
    add("--registry", default="sqlite:///var/mlflow.db", help="MLflow's tracking and registry URI")


def _begin(environment: Any, **_: Any) -> None:
    """
    The class of users that the pipeline wants, and what they ask it with.

    Where there is nothing to ask, or nobody to answer, the test ends with the reason in Locust's log.
    """
    if isinstance(environment.runner, MasterRunner):
        raise StopTest("--master deals its users out before the pipeline was asked what it answers: do without")
    try:
        kind_of, environment.asking = asking_of(environment.parsed_options, environment.host or "")
    except SextantError as error:
        raise StopTest(f"{type(error).__name__}: {error}") from None
    environment.user_classes = users_of(kind_of, environment.asking.url_of)


def asking_of(options: Any, host: str) -> tuple[str, Asking]:
    """What the pipeline of *options* at *host* answers, and all that its users have in common."""
    store = Store(Path(options.store))
    target = target_of(options.pipeline, store)
    url = host or read_address(store.root).grpc
    file = Path(options.inputs) if options.inputs else None
    inputs = inputs_of(target, url, store, Registry(options.registry), file, NOBODY)
    outputs = contract_of(target.name, url, NOBODY).outputs
    asking = Asking(
        pipeline=target.name,
        url_of={protocol_of(url): url},
        inputs=inputs.feed,
        rows=options.rows,
        rate_rps=options.rate or None,
        seed=options.seed,
    )
    return kind([tensor.name for tensor in outputs]), asking
