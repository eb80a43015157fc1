"""docker-compose.yml as Compose reads it, and which of its lines somebody has used."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])((?:[^{}]|\{[^{}]*\})*))?\})")
_WORDS, _NAMES, _MOUNTS = ("entrypoint", "command"), ("environment",), ("volumes", "tmpfs")


def interpolated(text, variables):
    """*text* with its ``${NAME}``, ``${NAME:-else}`` and ``${NAME:?why}`` filled in; LookupError where one must be."""

    def value(found):
        dollar, name, how, word = found.groups()
        if dollar or variables.get(name):
            return dollar or variables[name]
        if how == ":?":
            raise LookupError(f"{name}: {word}")
        return interpolated(word or "", variables)

    return _VARIABLE.sub(value, text)


def variables_in(text):
    """The names of all variables in *text*, each with ``:-``, ``:?`` or None, and what stands behind that."""
    for _, name, how, word in _VARIABLE.findall(text):
        if name:
            yield name, how or None, word
            yield from variables_in(word)


def words(value):
    """The words of a command, which is a list or a line."""
    return shlex.split(value) if isinstance(value, str) else list(value)


def mounted(volume):
    """Source and target of a mount; of a folder in memory the target alone."""
    source, _, rest = volume.rpartition(":/") if volume.count(":/") == 1 else ("", "", volume)
    target = ("/" + rest if source else rest).split(":")[0]
    return source, target


class Composed:
    """The services with their variables filled in; what is taken out is noted in ``tried``."""

    def __init__(self, variables):
        self.services = _filled(yaml.safe_load(FILE.read_text()), variables)["services"]
        self.tried = set()

    def lines(self):
        """Every line of every service: its service, its key, and the word, name or path that it is about."""
        return {line for name, service in self.services.items() for line in _lines(name, service)}

    def argv(self, service):
        """What the service executes: its own entry, else its Dockerfile's, and its command."""
        told = self.services[service]
        own = words(told["entrypoint"]) if "entrypoint" in told else self.stage(service).get("ENTRYPOINT", [])
        self._try(service, *_WORDS)
        return [*own, *words(told.get("command", []))]

    def environment(self, service):
        """The variables of the service."""
        self._try(service, "environment")
        return {**self.stage(service).get("ENV", {}), **self.services[service].get("environment", {})}

    def variable(self, service, name):
        """One variable of the service, for what an image's own entry would have done with it."""
        self.tried.add((service, "environment", name))
        return self.services[service]["environment"][name]

    def mount(self, service, target):
        """What is mounted there."""
        found = {where: source for source, where in map(mounted, self.services[service]["volumes"])}
        self.tried.add((service, "volumes", target))
        return found[target]

    def health(self, service):
        """The health check of the service, or of its Dockerfile, as a command line."""
        if "healthcheck" not in self.services[service]:
            return self.stage(service)["HEALTHCHECK"]
        self._try(service, "healthcheck")
        return self.services[service]["healthcheck"]["test"][1:]

    def stage(self, service):
        """What the Dockerfile of the service says of its entry, environment and health; nothing for a foreign image."""
        build = self.services[service].get("build")
        return stages(ROOT / build["dockerfile"])[build.get("target")] if build else {}

    def untried(self, service, left_out):
        """Note that these words were left out after all."""
        self.tried -= {line for line in _lines(service, self.services[service]) if line[2] in left_out}

    def _try(self, service, *keys):
        self.tried |= {line for line in _lines(service, self.services[service]) if line[1] in keys}


def stages(dockerfile):
    """ENTRYPOINT, HEALTHCHECK and ENV of each stage, with those of the stage that it begins with; None is the last."""
    found, current = {}, {}
    for line in re.sub(r"\\\n", " ", dockerfile.read_text()).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = found[None] = {**found.get(base, {})}
        elif instruction == "ENTRYPOINT":
            current[instruction] = json.loads(rest)
        elif instruction == "HEALTHCHECK":
            current[instruction] = json.loads(rest.partition("CMD ")[2])
        elif instruction == "ENV":
            current[instruction] = current.get(instruction, {}) | dict(word.split("=", 1) for word in shlex.split(rest))
    return found


def _filled(value, variables):
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return interpolated(value, variables) if isinstance(value, str) else value


def _lines(name, service):
    for key, value in service.items():
        if key in _WORDS:
            yield from ((name, key, word.partition("=")[0]) for word in words(value))
        elif key in _NAMES:
            yield from ((name, key, each) for each in value)
        elif key in _MOUNTS:
            yield from ((name, key, mounted(each)[1]) for each in value)
        else:
            yield name, key, ""
