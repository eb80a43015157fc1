"""The Kubernetes manifests as kubectl's own kustomize renders them."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OLDEST = 27
"""kubectl 1.27 brings kustomize 5, which labels pods without touching selectors."""


@cache
def rendered(folder):
    """Every manifest of *folder*, below ``deploy/``; skips, saying so, where no kubectl can render it."""
    if (minor := _minor()) < OLDEST:
        pytest.skip(f"rendering needs kubectl 1.{OLDEST} or newer, and {f'1.{minor}' if minor else 'none'} is here")
    made = subprocess.run(["kubectl", "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return tuple(yaml.safe_load_all(made.stdout))


@cache
def _minor():
    if shutil.which("kubectl") is None:
        return 0
    said = subprocess.run(
        ["kubectl", "version", "--client", "--output=json"], capture_output=True, text=True, check=True
    )
    return int(json.loads(said.stdout)["clientVersion"]["minor"].rstrip("+"))


def of_kind(manifests, *kinds):
    """Those of *kinds*, by their names."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] in kinds}


def pods(manifests):
    """The pod templates, by the names of their deployments: labels beside the pod's specification."""
    return {name: each["spec"]["template"] for name, each in of_kind(manifests, "Deployment").items()}


def container(template, name):
    """The container *name* of a pod."""
    return next(each for each in template["spec"]["containers"] if each["name"] == name)


def selected(manifests, selector):
    """The names of the deployments whose pods a label *selector* chooses."""
    return {name for name, pod in pods(manifests).items() if chooses(selector, pod["metadata"]["labels"])}


def chooses(selector, labels):
    """Whether a label selector chooses *labels*; an empty one chooses everything."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return equal and all(labels.get(each["key"]) in each["values"] for each in expressions)


def flags(arguments):
    """Triton's options by name, each with all its values."""
    known: dict[str, list[str]] = {}
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        known.setdefault(name, []).append(value)
    return known
