"""``sextant demo``: the main job, from nothing."""

from __future__ import annotations

from pathlib import Path

import click

from sextant_cli import options
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY, UJIINDOORLOC
from sextant_cli.demo.story import Folder, Outcome, tell
from sextant_cli.demo.ujiindoorloc import read
from sextant_cli.narrator import Narrator


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="UJIIndoorLoc's trainingData.csv(.gz), or its folder: 19,937 real Wi-Fi fingerprints. "
    "Without it the survey is simulated.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything goes.  [default: var, or var/ujiindoorloc with --data]",
)
@options.as_json
def demo(data: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """
    Train three models, prove them, serve them on Triton, and ask for fixes with their ellipses.

    What an earlier run left behind and is still valid is used again; `rm -r var` starts from nothing.
    """
    narrator = Narrator()
    survey, recipe = (read(data), UJIINDOORLOC) if data else (simulate(), BAY)
    place = Folder(folder or Path("var", *(["ujiindoorloc"] if data else [])))
    outcome = tell(survey, recipe, place, narrator)
    if as_json:
        options.print_json(outcome.to_dict())
    else:
        click.echo(_words(outcome, place))


def _words(outcome: Outcome, place: Folder) -> str:
    scores = outcome.scores
    held = "   ".join(f"{level:.0%} ellipses hold {share:.1%}" for level, share in scores.coverage.items())
    return f"""
{scores.rows:,} held-back rows of {outcome.data}
  error      median {scores.median_error_m:.2f} m   95th percentile {scores.p95_error_m:.2f} m   \
(best member alone, {outcome.best_member}: median {outcome.best_member_median_error_m:.2f} m)
  coverage   {held}   of the true places
  area       median {max(scores.coverage):.0%} ellipse {scores.median_area_m2:,.0f} m2
  latency    p50 {outcome.p50_ms:.2f} ms   p95 {outcome.p95_ms:.2f} ms   one row a call, over gRPC
  map        {place.demo / "fixes.geojson"}
  picture    {place.demo / "fixes.png"}

Try next (the second and third in another terminal):
  .venv/bin/sextant serve --store {place.store}
  .venv/bin/sextant ask locate features=@{place.demo / "example.npy"} --store {place.store}
  .venv/bin/sextant status --store {place.store}"""
