"""The manifests under ``deploy/`` render, fit Kubernetes' schemas, and keep what docs/kubernetes.md promises."""

from __future__ import annotations

import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from tritonclient.grpc import service_pb2

from manifests import DEPLOY, ROOT, chooses, container, flags, of_kind, pods, rendered, selected
from sextant_export.pipeline import load_pipeline
from sextant_export.settings import load_settings
from sextant_promote.control import TOKEN_HEADER as GRPC_TOKEN
from sextant_promote.names import BY_NAME
from sextant_server.address import TOKEN_HEADER as HTTP_TOKEN

OVERLAYS = ("kubernetes/overlays/cpu", "kubernetes/overlays/gpu")
WITHOUT_SCHEMA = {"Gateway", "GRPCRoute", "HTTPRoute", "PodMonitor", "ServingRuntime", "InferenceService"}
"""Kinds of others than Kubernetes: docs/kubernetes.md says what they were held against."""
DOCUMENTATION = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
CONNECTION_JITTER = 1.1
"""gRPC lets a connection live up to a tenth longer than its age."""


@pytest.fixture(params=OVERLAYS)
def manifests(request):
    return rendered(request.param)


@pytest.fixture(params=[*OVERLAYS, "kserve"])
def everything(request):
    return rendered(request.param)


def specifications(manifests):
    """Every pod specification, KServe's too."""
    runtimes = of_kind(manifests, "ServingRuntime").values()
    return [*(pod["spec"] for pod in pods(manifests).values()), *(each["spec"] for each in runtimes)]


def containers(specification):
    return [*specification.get("initContainers", []), *specification["containers"]]


def port_names(pod):
    return {port["name"]: port["containerPort"] for each in pod["spec"]["containers"] for port in each["ports"]}


def test_every_manifest_fits_its_schema(everything):
    """Strictly: a field that Kubernetes does not know is an error."""
    own = [each for each in everything if each["kind"] not in WITHOUT_SCHEMA]

    assert everything
    for manifest in own:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_every_container_is_locked(everything):
    """Nobody's root, nothing to write to but what is mounted, no capability, no way up."""
    for specification in specifications(everything):
        for each in containers(specification):
            context = specification.get("securityContext", {}) | each["securityContext"]
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] == 1000
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_every_container_has_what_it_asks_for(everything):
    """Requests and limits are equal, so that a pod is the last to be evicted and may be given whole cores."""
    for specification in specifications(everything):
        for each in containers(specification):
            assert each["resources"]["requests"] == each["resources"]["limits"]
            assert {"cpu", "memory"} <= each["resources"]["limits"].keys()


def test_every_image_is_pinned(everything):
    """By its digest, which an overlay names."""
    images = {each["image"] for specification in specifications(everything) for each in containers(specification)}

    assert images
    assert all(re.fullmatch(r"registry\.example/[a-z-]+@sha256:[0-9a-f]{64}", image) for image in images)


def test_no_pod_may_ask_the_cluster(manifests):
    """Neither by its pod nor by its account is a token of Kubernetes' API mounted."""
    accounts = of_kind(manifests, "ServiceAccount")
    for pod in pods(manifests).values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert accounts[pod["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_volumes_are_all_there(everything):
    """Every mount has its volume, and every claim, settings and pages that a volume is of are rendered beside it."""
    claims, maps = of_kind(everything, "PersistentVolumeClaim"), of_kind(everything, "ConfigMap")
    for specification in specifications(everything):
        volumes = {each["name"]: each for each in specification["volumes"]}
        mounted = {mount["name"] for each in containers(specification) for mount in each["volumeMounts"]}
        assert mounted == volumes.keys()
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {"claimName": "store"})["claimName"] in claims or not claims
            assert "configMap" not in volume or volume["configMap"]["name"] in maps


def test_only_the_watch_writes_the_store(manifests):
    mounts = {
        (name, mount.get("readOnly", False))
        for name, pod in pods(manifests).items()
        for each in containers(pod["spec"])
        for mount in each["volumeMounts"]
        if mount["name"] == "store"
    }

    assert mounts == {("triton", True), ("watcher", False)}


def test_shared_memory_fits_into_the_memory(everything):
    """What lies in it counts as the container's."""
    for specification in specifications(everything):
        for volume in specification["volumes"]:
            if volume.get("emptyDir", {}).get("medium") == "Memory":
                (owner,) = (each for each in containers(specification) if _mounts(each, volume["name"], "/dev/shm"))
                assert _gib(volume["emptyDir"]["sizeLimit"]) <= _gib(owner["resources"]["limits"]["memory"]) / 4


def _mounts(each, volume, path):
    return {"name": volume, "mountPath": path} in each["volumeMounts"]


def _gib(quantity):
    return int(quantity.removesuffix("Gi"))


def test_services_reach_pods_by_ports_they_have(manifests):
    for service in of_kind(manifests, "Service").values():
        assert selected(manifests, {"matchLabels": service["spec"]["selector"]}) == {"triton"}
        ports = port_names(pods(manifests)["triton"])
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_probes_ask_ports_that_are_there(manifests):
    for pod in pods(manifests).values():
        (only,) = pod["spec"]["containers"]
        probes = [probe for name, probe in only.items() if name.endswith("Probe")]
        assert probes
        assert {probe["httpGet"]["port"] for probe in probes} <= port_names(pod).keys()


def test_budget_spread_and_autoscaler_are_of_the_tritons(manifests):
    (budget,) = of_kind(manifests, "PodDisruptionBudget").values()
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    spread = pods(manifests)["triton"]["spec"]["topologySpreadConstraints"]
    target = scaler["spec"]["scaleTargetRef"]

    assert selected(manifests, budget["spec"]["selector"]) == {"triton"}
    assert all(selected(manifests, each["labelSelector"]) == {"triton"} for each in spread)
    assert target["name"] in of_kind(manifests, target["kind"])
    assert "replicas" not in of_kind(manifests, "Deployment")["triton"]["spec"]
    assert budget["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]


def test_nothing_is_let_through_but_what_is_said(manifests):
    """One policy denies everything to every pod; each other one chooses pods, and ports that they have."""
    policies = of_kind(manifests, "NetworkPolicy")
    nothing = policies.pop("nothing")["spec"]

    assert nothing.keys() == {"podSelector", "policyTypes"}
    assert selected(manifests, nothing["podSelector"]) == pods(manifests).keys()
    assert sorted(nothing["policyTypes"]) == ["Egress", "Ingress"]
    for policy in policies.values():
        chosen = selected(manifests, policy["spec"]["podSelector"])
        known = {name: port_names(pods(manifests)[name]) for name in chosen}
        assert chosen
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"]
            assert all({port["port"] for port in rule["ports"]} <= ports.keys() for ports in known.values())
        for rule in policy["spec"].get("egress", []):
            assert rule["to"]
            assert rule["ports"]


def test_who_may_reach_the_tritons(manifests):
    """Callers and the gateway by the two serving ports, Prometheus by its own, the watch by gRPC and metrics."""
    reach = {}
    for policy in of_kind(manifests, "NetworkPolicy").values():
        if "triton" not in selected(manifests, policy["spec"]["podSelector"]):
            continue
        for rule in policy["spec"].get("ingress", []):
            (peer,) = rule["from"]
            ((kind, selector),) = peer.items()
            (label,) = selector["matchLabels"].values()
            reach[kind, label] = {port["port"] for port in rule["ports"]}

    assert reach == {
        ("namespaceSelector", "yes"): {"http", "grpc"},
        ("namespaceSelector", "envoy-gateway-system"): {"http", "grpc"},
        ("namespaceSelector", "monitoring"): {"metrics"},
        ("podSelector", "watcher"): {"grpc", "metrics"},
    }


def test_the_watch_may_leave_for_what_it_needs(manifests):
    """Its Tritons' gRPC and metrics, names, the registry, buckets; a Triton goes nowhere."""
    gone = [
        (peer, port["port"])
        for policy in of_kind(manifests, "NetworkPolicy").values()
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        for port in rule["ports"]
        if selected(manifests, policy["spec"]["podSelector"]) == {"watcher"}
    ]
    to_tritons = {
        port for peer, port in gone if chooses(peer.get("podSelector", {"matchLabels": {"": ""}}), _labels(manifests))
    }

    assert to_tritons == {8001, 8002}
    assert {port for _, port in gone} == {53, 443, 5000, 8001, 8002}
    assert not any(
        "triton" in selected(manifests, policy["spec"]["podSelector"])
        for policy in of_kind(manifests, "NetworkPolicy").values()
        if policy["spec"].get("egress")
    )


def _labels(manifests):
    return pods(manifests)["triton"]["metadata"]["labels"]


def test_monitors_ask_ports_that_are_there(manifests):
    for monitor in of_kind(manifests, "PodMonitor").values():
        (name,) = selected(manifests, monitor["spec"]["selector"])
        assert {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]} <= port_names(
            pods(manifests)[name]
        ).keys()


def test_a_pod_that_ends_answers_what_it_took(manifests):
    """
    Services forget it and connections reach their age while it still answers; then it drains, then there is room left.
    """
    specification = pods(manifests)["triton"]["spec"]
    triton = container(pods(manifests)["triton"], "triton")
    said, sleep_s = flags(triton["args"]), triton["lifecycle"]["preStop"]["sleep"]["seconds"]
    (age_ms,), (drain_s,) = said["grpc-max-connection-age"], said["exit-timeout-secs"]

    assert sleep_s >= int(age_ms) / 1000 * CONNECTION_JITTER + 5
    assert specification["terminationGracePeriodSeconds"] >= sleep_s + int(drain_s) + 10


def test_a_pod_is_ready_when_it_serves_the_pipelines(manifests):
    """Each page that the watch is given is mounted, sound, and its front is what readiness asks for."""
    watcher = container(pods(manifests)["watcher"], "watcher")
    probe = container(pods(manifests)["triton"], "triton")["readinessProbe"]["httpGet"]
    volumes = {each["name"]: each for each in pods(manifests)["watcher"]["spec"]["volumes"]}
    mounted = {mount["mountPath"]: mount["name"] for mount in watcher["volumeMounts"]}
    pages = of_kind(manifests, "ConfigMap")[volumes[mounted["/pipelines"]]["configMap"]["name"]]["data"]
    named = [argument.removeprefix("/pipelines/") for argument in watcher["args"] if argument.endswith(".yaml")]

    assert named == [*pages]
    assert probe["path"] == f"/v2/models/{yaml.safe_load(pages[named[0]])['name']}/ready"


def test_the_example_page_is_sound():
    pipeline = load_pipeline(DEPLOY / "kubernetes" / "base" / "pipelines" / "locate.yaml")

    assert pipeline.name == "locate"


def test_the_watch_knows_every_pod(manifests):
    """Its settings name the headless service, which tells of pods that are not ready too, and the mounted token."""
    settings = load_settings(DEPLOY / "kubernetes" / "base" / "sextant.toml")
    (server,) = settings.servers
    host, _, port = server.url.removeprefix(BY_NAME).partition(":")
    service = of_kind(manifests, "Service")[host]["spec"]
    ports = {each["name"]: each["port"] for each in service["ports"]}
    mounts = {each["mountPath"] for each in container(pods(manifests)["watcher"], "watcher")["volumeMounts"]}

    assert server.url.startswith(BY_NAME)
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert (int(port), server.metrics) == (ports["grpc"], f"http://{host}:{ports['metrics']}/metrics")
    assert {str(server.token_file.parent), str(settings.store)} <= mounts


def test_triton_is_started_as_by_docker_compose(manifests):
    """But for the age of connections, which is about pods that come and go."""
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["triton"]
    triton = container(pods(manifests)["triton"], "triton")
    here, there = flags(triton["args"]), flags(stack["command"])
    age = here.pop("grpc-max-connection-age")

    assert age
    assert _tokenless(here) == _tokenless(there)


def test_each_kind_of_machine_starts_triton_as_docker_compose_does():
    """On a CPU with the configurations that name ONNX graphs."""
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    commands = {folder: container(pods(rendered(folder))["triton"], "triton")["command"] for folder in OVERLAYS}

    assert [*commands.values()] == [stack["triton"]["entrypoint"], stack["triton-gpu"]["entrypoint"]]


def _tokenless(known):
    return {name: [re.sub(r"\$.*", "TOKEN", value) for value in values] for name, values in known.items()}


def test_no_control_call_comes_in_by_the_gateway(manifests):
    """Routes name what callers ask; the token's headers are taken off what passes."""
    (grpc,), (http,) = (of_kind(manifests, kind).values() for kind in ("GRPCRoute", "HTTPRoute"))
    (service,) = service_pb2.DESCRIPTOR.services_by_name.values()
    routed = {match["method"]["method"] for rule in grpc["spec"]["rules"] for match in rule["matches"]}
    control = re.compile(r"Repository|SharedMemory|Setting|Statistics")

    assert routed == {name for name in service.methods_by_name if not control.search(name)}
    assert {match["method"]["service"] for match in grpc["spec"]["rules"][0]["matches"]} == {service.full_name}
    assert [match["path"]["value"] for match in http["spec"]["rules"][0]["matches"]] == [
        "/v2",
        "/v2/health",
        "/v2/models",
    ]
    for route in (grpc, http):
        (rule,) = route["spec"]["rules"]
        (stripped,) = rule["filters"]
        assert stripped["requestHeaderModifier"]["remove"] == [HTTP_TOKEN, GRPC_TOKEN]


def test_routes_lead_from_a_listener_to_a_service(manifests):
    """Each over TLS, under a name of its own."""
    (gateway,) = of_kind(manifests, "Gateway").values()
    listeners = {each["name"]: each for each in gateway["spec"]["listeners"]}
    services = of_kind(manifests, "Service")
    for route in (each for each in manifests if each["kind"] in {"GRPCRoute", "HTTPRoute"}):
        (parent,) = route["spec"]["parentRefs"]
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        assert (parent["name"], listeners[parent["sectionName"]]["protocol"]) == (gateway["metadata"]["name"], "HTTPS")
        assert backend["port"] in {port["port"] for port in services[backend["name"]]["spec"]["ports"]}

    assert len({each["hostname"] for each in listeners.values()}) == len(listeners)


def test_kserve_finds_its_runtime():
    """The service asks for a format and a protocol that the runtime has, and bears the front's name."""
    manifests = rendered("kserve")
    (service,), (runtime,) = (of_kind(manifests, kind).values() for kind in ("InferenceService", "ServingRuntime"))
    model, said = service["spec"]["predictor"]["model"], runtime["spec"]

    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {each["name"] for each in said["supportedModelFormats"]}
    assert model["protocolVersion"] in said["protocolVersions"]
    assert model["storageUri"].endswith("/models")
    assert flags(said["containers"][0]["args"])["model-control-mode"] == ["none"]


def test_the_documented_overlay_renders(tmp_path):
    """With pages, settings and known cases of one's own in place of the example's, and every pipeline asked for."""
    written = re.findall(r"```yaml\n# mine/(\S+)\n(.*?)```", DOCUMENTATION, re.DOTALL)
    mine = tmp_path / "mine"
    (mine / "pipelines").mkdir(parents=True)
    (tmp_path / "deploy").mkdir()
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "deploy" / "kubernetes")
    for name, text in written:
        (mine / name).write_text(text)
    (mine / "sextant.toml").write_text('store = "/store"\n')
    for name in ("locate.yaml", "sort.yaml", "calibration.parquet"):
        (mine / "pipelines" / name).write_bytes(b"\xff\xfe\x00" if name.endswith("parquet") else name.encode())
    manifests = rendered(mine)

    maps = {name.rpartition("-")[0]: each for name, each in of_kind(manifests, "ConfigMap").items()}
    triton, watcher = (container(pods(manifests)[name], name) for name in ("triton", "watcher"))
    assert sorted(name for name, _ in written) == ["kustomization.yaml", "mine.yaml"]
    assert maps["sextant-pipelines"]["data"].keys() == {"locate.yaml", "sort.yaml"}
    assert maps["sextant-pipelines"]["binaryData"].keys() == {"calibration.parquet"}
    assert triton["readinessProbe"].keys() == {"exec", "periodSeconds", "timeoutSeconds", "failureThreshold"}
    assert watcher["args"][-2:] == ["/pipelines/locate.yaml", "/pipelines/sort.yaml"]
    volumes = {each["name"]: each for each in pods(manifests)["watcher"]["spec"]["volumes"]}
    assert volumes["pipelines"]["configMap"]["name"] == maps["sextant-pipelines"]["metadata"]["name"]
    for manifest in (each for each in manifests if each["kind"] not in WITHOUT_SCHEMA):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def adapter_rule():
    file = DEPLOY / "kubernetes" / "components" / "autoscale" / "prometheus-adapter.yaml"
    (rule,) = yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]["custom"]
    return rule


def test_the_autoscaler_asks_for_the_adapters_metric(manifests):
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    asked = [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]

    assert asked == [adapter_rule()["name"]["as"]]


SERIES = {
    # Of pod a, 100 requests a second reach knn and wait 4 ms each, and fuse, where they wait 1 ms.
    'nv_inference_queue_duration_us{namespace="sextant",pod="a",model="knn"}': "0+6000000x20",
    'nv_inference_request_success{namespace="sextant",pod="a",model="knn"}': "0+1500x20",
    'nv_inference_queue_duration_us{namespace="sextant",pod="a",model="fuse"}': "0+1500000x20",
    'nv_inference_request_success{namespace="sextant",pod="a",model="fuse"}': "0+1500x20",
    # Pod b is asked nothing, and neither is a model of a that is only loaded.
    'nv_inference_queue_duration_us{namespace="sextant",pod="b",model="knn"}': "7+0x20",
    'nv_inference_request_success{namespace="sextant",pod="b",model="knn"}': "1+0x20",
    'nv_inference_queue_duration_us{namespace="sextant",pod="a",model="idle"}': "0+0x20",
    'nv_inference_request_success{namespace="sextant",pod="a",model="idle"}': "0+0x20",
    # Another namespace is none of ours.
    'nv_inference_queue_duration_us{namespace="other",pod="c",model="knn"}': "0+6000000x20",
    'nv_inference_request_success{namespace="other",pod="c",model="knn"}': "0+1x20",
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt-get install prometheus")
def test_the_queue_time_is_that_of_the_step_that_waits_longest(tmp_path):
    """In seconds, by pod; in one that is asked nothing, nobody waits."""
    query = adapter_rule()["metricsQuery"].replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'namespace="sextant",pod=~"a|b"')
    waits = [{"labels": '{pod="a"}', "value": 0.004}, {"labels": '{pod="b"}', "value": 0}]
    tested = {
        "rule_files": [],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": values} for name, values in SERIES.items()],
                "promql_expr_test": [{"expr": query, "eval_time": "5m", "exp_samples": waits}],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tested))
    told = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tests.yaml")], capture_output=True, text=True, check=False
    )

    assert told.returncode == 0, told.stdout + told.stderr
