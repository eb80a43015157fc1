"""``sextant --help``: every verb is named, whatever of the extras is installed."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from sextant_cli.command import VERBS, run, sextant

BARE = """
import sys
sys.modules.update(dict.fromkeys(["matplotlib", "mlflow", "sklearn", "tritonclient", "locust", "onnxruntime"]))
from sextant_cli.command import run
sys.exit(run([{word!r}]))
"""


def told(word):
    return subprocess.run([sys.executable, "-c", BARE.format(word=word)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def helped():
    """The help of an interpreter that has nothing beyond the command line's own packages."""
    return subprocess.run(
        [sys.executable, "-c", BARE.format(word="--help")], capture_output=True, text=True, check=True
    )


def test_help_needs_no_extra(helped):
    assert [line.split()[0] for line in helped.stdout.partition("Commands:\n")[2].splitlines()] == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_told_by_its_own_first_sentence(verb, helped):
    command = sextant.get_command(click.Context(sextant), verb)
    (line,) = (line for line in helped.stdout.splitlines() if line.split()[:1] == [verb])

    assert line.split(maxsplit=1)[1].removesuffix("...") in command.get_short_help_str(200)


def test_a_verb_whose_extra_is_missing_says_which():
    done = told("demo")

    assert done.returncode == 1
    assert "pip install 'triton-sextant[demo]'" in done.stderr


def test_a_verb_that_is_not_there_is_a_usage_error(capsys):
    assert run(["serv"]) == 2
    assert "No such command 'serv'" in capsys.readouterr().err
