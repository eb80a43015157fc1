"""What docker-compose.yml, its Dockerfiles and its variables promise, read from the files themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from composed import FILE, ROOT, Composed, mounted, variables_in, words
from sextant_export.toml_file import read_tables
from sextant_server.address import TOKEN_HEADER
from sextant_server.launch import RESTRICTED_APIS

EXAMPLE = (ROOT / ".env.example").read_text()
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
VARIABLES = list(variables_in(FILE.read_text()))
SECRET = re.compile("TOKEN|PASSWORD|HASH|_KEY$")
PINNED = re.compile(r"[\w./-]+:v?\d[\w.-]*(@sha256:[0-9a-f]{64})?")

SERVICES = Composed({name: "given" for name, *_ in VARIABLES}).services
LASTING = sorted(set(SERVICES) - {"export"})


def defaults(name):
    """What holds where nobody says the variable."""
    return {word for named, how, word in VARIABLES if named == name and how == ":-"}


def test_the_file_is_one_of_compose():
    """By the schema of the Compose specification."""
    checking = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    checked = subprocess.run(checking, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_passes_its_linter(dockerfile):
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: pip install --group test")

    linted = subprocess.run([hadolint, dockerfile], capture_output=True, text=True)

    assert linted.stdout == ""


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_ends_as_a_user_without_rights(dockerfile):
    users = re.findall(r"^USER (.*)$", dockerfile.read_text(), re.MULTILINE)

    assert users[-1] == "1000:1000"


def test_what_dockerfiles_copy_is_let_into_the_build():
    """And nothing else: .dockerignore begins by shutting everything out."""
    shut, *let_in = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    packages = read_tables(ROOT / "pyproject.toml", ValueError)["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {package.partition("/")[0] for package in (*packages["packages"], *packages["force-include"])}
    wanted |= {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    copied = {
        source
        for dockerfile in DOCKERFILES
        for source in re.findall(r"^COPY (?!--from)(\S+) ", dockerfile.read_text(), re.MULTILINE)
        if source != "."
    }

    assert shut == "*"
    assert {f"!{each}" for each in wanted} <= set(let_in)
    assert all((ROOT / source).is_file() and "!docker/*.py" in let_in for source in copied)


@pytest.mark.parametrize("name", sorted({name for name, *_ in VARIABLES if name.endswith("_IMAGE")}))
def test_an_image_is_pinned_wherever_it_is_named(name):
    """One tag, the same in the file, in .env.example, and in the Dockerfile that begins with it."""
    told = {line.partition("=")[2] for line in EXAMPLE.splitlines() if line.startswith(f"#{name}=")}
    begun = {each for path in DOCKERFILES for each in re.findall(rf"^ARG {name}=(.*)$", path.read_text(), re.MULTILINE)}

    assert len(defaults(name)) == 1
    assert begun | told == defaults(name)
    assert PINNED.fullmatch(*defaults(name))


def test_every_image_is_a_pinned_variable_or_built_here():
    raw = yaml.safe_load(FILE.read_text())["services"]

    assert [name for name, each in raw.items() if "build" not in each and "_IMAGE:-" not in each["image"]] == []


def test_triton_and_tensorrt_are_of_one_month_that_is_new_enough():
    months = {default.partition(":")[2] for name in ("TRITON_IMAGE", "TENSORRT_IMAGE") for default in defaults(name)}

    assert len(months) == 1
    assert months.pop() >= "26.08"


def test_the_example_has_every_variable_and_no_other():
    told = re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE)

    assert set(told) == {name for name, *_ in VARIABLES} | {"COMPOSE_PROFILES"}


def test_the_example_says_the_defaults_of_the_file():
    told = dict(re.findall(r"^#([A-Z_]+)=(.+)$", EXAMPLE, re.MULTILINE)[::-1])

    assert {name: value for name, value in told.items() if value not in defaults(name)} == {}


@pytest.mark.parametrize("name", sorted({name for name, *_ in VARIABLES if SECRET.search(name)}))
def test_a_secret_has_no_default(name):
    """The file is refused without it; the one exception is another secret's value."""
    ways = {(how, word) for named, how, word in VARIABLES if named == name and how}
    given = re.findall(rf"^{name}=(.*)$", EXAMPLE, re.MULTILINE)

    assert {how for how, _ in ways} == {":?"} or ways == {(":-", "${SEXTANT_CALLER_TOKEN}")}
    assert given in ([""], [], ["sextant"])


@pytest.mark.parametrize("name", LASTING)
def test_a_service_may_do_little(name):
    """It cannot write but where it must, has no rights of root's, and cannot take the machine with it."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert "mem_limit" in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert name == "bucket" or service["restart"] == "unless-stopped"


def test_the_proxy_alone_is_reached_from_outside():
    networks = yaml.safe_load(FILE.read_text())["networks"]

    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in SERVICES.items() if "edge" in service["networks"]] == ["proxy"]
    assert {name for name, network in networks.items() if not network.get("internal")} == {"edge"}
    assert not any("network_mode" in service or "privileged" in service for service in SERVICES.values())


def test_only_the_registry_reaches_the_data():
    """Neither a model nor the proxy has a way to the database or to the bucket."""
    near = {name for name, service in SERVICES.items() if "data" in service["networks"]}

    assert near == {"postgres", "storage", "bucket", "mlflow"}


@pytest.mark.parametrize("name", ["triton", "triton-gpu"])
def test_triton_reads_the_store_and_answers_control_calls_by_token_alone(name):
    service = SERVICES[name]
    told = [*words(service["entrypoint"]), *words(service["command"])]

    assert all(volume.endswith(":/store:ro") for volume in service["volumes"])
    assert f"--http-restricted-api={RESTRICTED_APIS}:{TOKEN_HEADER}=given" in told
    assert f"--grpc-restricted-protocol={RESTRICTED_APIS}:{TOKEN_HEADER}=given" in told
    assert not [flag for flag in told if re.search("sagemaker|vertex|client-shm|trace-config", flag)]


def test_whoever_waits_for_health_waits_for_a_check():
    composed = Composed({name: "given" for name, *_ in VARIABLES})
    waited = {
        on
        for service in SERVICES.values()
        for on, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }

    assert all(composed.health(name) for name in waited)


def test_volumes_and_networks_are_declared():
    declared = yaml.safe_load(FILE.read_text())
    mounts = [mounted(volume)[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    used = {network for service in SERVICES.values() for network in service["networks"]}

    assert {source for source in mounts if "/" not in source and source != "given"} | {"store"} == set(
        declared["volumes"]
    )
    assert used == set(declared["networks"])


def test_grafana_finds_its_dashboards_and_prometheus():
    """Its provisioning names the folder that is mounted, and a service of the file."""
    provisioning = ROOT / "deploy" / "monitoring" / "grafana" / "provisioning"
    dashboards = yaml.safe_load((provisioning / "dashboards" / "sextant.yml").read_text())["providers"]
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    mounts = {target: source for source, target in map(mounted, SERVICES["grafana"]["volumes"])}

    for provider in dashboards:
        assert list((ROOT / mounts[provider["options"]["path"]]).glob("*.json"))
    assert [source["url"] for source in sources] == ["http://prometheus:9090"]
    assert mounts["/etc/grafana/provisioning"] == "./deploy/monitoring/grafana/provisioning"
