"""Writes docs/cli.md from the commands' own --help; a test holds the two together."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli.command import VERBS, sextant

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 110


def page() -> str:
    """The whole page."""
    root = click.Context(sextant, info_name="sextant", max_content_width=WIDTH, terminal_width=WIDTH)
    parts = [f"# The command line\n\nGenerated from `--help` by `make docs`.\n\n{_help('sextant', root)}"]
    for verb in sorted(VERBS):
        command = sextant.get_command(root, verb)
        assert command is not None  # noqa: S101  VERBS names it
        parts.append(_help(f"sextant {verb}", click.Context(command, info_name=verb, parent=root)))
    return "\n".join(parts)


def _help(title: str, context: click.Context) -> str:
    context.max_content_width = context.terminal_width = WIDTH
    return f"## {title}\n\n```\n{context.get_help()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
