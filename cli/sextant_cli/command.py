"""The group of verbs, and how an error ends: its sentence on stderr, its exit code, nothing else."""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import click

from sextant.errors import (
    AccessDenied,
    DeadlineExceeded,
    MissingExtra,
    RegistryUnreachable,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    SextantError,
)

from .interrupts import Terminated, never_lost, terminated_as_interrupted

YOUR_FILE, USAGE, OUT_OF_REACH, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
REACH = (ServerUnreachable, RegistryUnreachable, DeadlineExceeded, ServerBusy, ServerError, AccessDenied)

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "ask": "client",
        "check": "export",
        "demo": "demo",
        "diff": "promote",
        "doctor": "promote",
        "environment": "export",
        "history": "promote",
        "loadtest": "loadtest",
        "plan": "export",
        "promote": "promote",
        "prove": "promote",
        "prune": "promote",
        "remove": "promote",
        "rollback": "promote",
        "serve": "server",
        "status": "promote",
        "verify": "export",
        "watch": "promote",
    }
)
"""Each verb and the extra that brings what it needs; its module is imported when it is called."""


class Verbs(click.Group):
    """The verbs, imported one by one, so that ``sextant check`` does not wait for what only ``demo`` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's words
        """Every verb, in alphabetical order."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """The verb *cmd_name*; ``MissingExtra`` where its packages are not installed."""
        if cmd_name not in VERBS:
            return None
        try:
            module = import_module(f"sextant_cli.verbs.{cmd_name}")
        except ImportError as error:
            if (error.name or "").startswith("sextant"):
                raise  # ours is never an extra's fault
            raise MissingExtra(VERBS[cmd_name], f"sextant {cmd_name}") from error
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """Each verb and its first sentence, by its source: to import them all would take seconds and every extra."""
        room = formatter.width - 6 - max(map(len, VERBS))
        with formatter.section("Commands"):
            formatter.write_dl([(verb, _first_sentence(verb, room)) for verb in sorted(VERBS)])


def _first_sentence(verb: str, room: int) -> str:
    source = files("sextant_cli.verbs").joinpath(f"{verb}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    said = next(ast.get_docstring(function) for function in functions if function.name == verb)
    return click.Command(verb, help=said).get_short_help_str(room)


@click.group(cls=Verbs, context_settings={"help_option_names": ["--help"]})
@click.version_option(package_name="triton-sextant", prog_name="sextant")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What options leave out; sextant.toml of the working directory, or SEXTANT_SETTINGS, if left out.",
)
@click.option("--debug", is_flag=True, help="Print the traceback of an error, not only its sentence.")
def sextant(*, settings: Path | None, debug: bool) -> None:
    """
    Models from MLflow on NVIDIA Triton, with proof, fused into answers that say how sure they are.

    Exit codes: 0 done, 1 your file or a failed gate, 2 usage, 3 a server or registry out of reach, 130 Ctrl-C, 143
    SIGTERM.
    """


def run(arguments: Sequence[str]) -> int:
    """Run ``sextant`` with *arguments*; returns the exit code."""
    try:
        with terminated_as_interrupted(), never_lost():
            return int(sextant.main(list(arguments), prog_name="sextant", standalone_mode=False) or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort) as ended:
        # An object that was interrupted while it was made has nothing to say when it goes.
        sys.unraisablehook = lambda _: None
        click.echo("interrupted", err=True)
        return TERMINATED if isinstance(ended.__cause__ or ended, Terminated) else INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last door: a full disk has as many classes as there are libraries
        return _ended(error, debug="--debug" in arguments)


def _ended(error: Exception, *, debug: bool) -> int:
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 0
    _say(error, debug=debug)
    return OUT_OF_REACH if isinstance(error, REACH) else YOUR_FILE


def _say(error: Exception, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    elif isinstance(error, SextantError):
        click.echo(f"sextant: {error}", err=True)
    else:
        cause = _first_cause(error)
        click.echo(f"sextant: {type(cause).__name__}: {cause} (`sextant --debug` shows where)", err=True)


def _first_cause(error: BaseException) -> BaseException:
    """What a library's error was made of: the disk that is full, not the transaction that was lost."""
    while under := error.__cause__ or error.__context__:
        error = under
    return error
