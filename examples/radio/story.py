"""
The whole story in one run: simulated radio, three networks in MLflow, a proven release on Triton, fixes on a map.

Read it from the top: every line of :func:`tell` is a line that ``run.py`` prints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radio.drawing import write_map
from radio.outcome import Measured, Outcome
from radio.receivers import DURATION_S, RECEIVERS, SAMPLES
from radio.scene import ORIGIN
from radio.service import LOG_MEL, NAME, Folder, prepare
from radio.spectrograms import write_spectrograms
from radio.track_file import write_track
from radio.windows import Sizes, Windows, errors_m, held_out_flight, test
from sextant.answers import Fix
from sextant.blocks import LogMel
from sextant.geodesy import to_latitude_longitude
from sextant.tensors import Floats
from sextant_cli.demo.serving import promoted, serving
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.pipeline import Pipeline
from sextant_server import EmbeddedTriton

LATENCY_CALLS, BATCH = 200, 64
CALLERS, CALLS_EACH = 100, 20


def tell(sizes: Sizes, folder: Folder, narrator: Narrator, *, fuse_graph: bool) -> Outcome:
    """Run the whole story; whatever an earlier run left in *folder* and is still valid is used again."""
    EmbeddedTriton(folder.store).require_possible()
    narrator.say(_simulated(sizes))
    pipeline = prepare(folder, sizes, narrator, fuse_graph=fuse_graph)
    anywhere, flight = test(sizes), held_out_flight(sizes)
    with serving(folder.store, narrator) as triton:
        release = promoted(pipeline, folder.store, folder.tracking_uri, triton, narrator)
        with Client(triton.address.grpc) as client:
            times_ms = _times_ms(client, flight, narrator)
            crowd_ms = _crowd_ms(client, flight, narrator)
            fixes = [_fixes(client, windows, narrator) for windows in (anywhere, flight)]
            alone = [_members(client, pipeline, windows, narrator) for windows in (anywhere, flight)]
    with narrator.step("measure what was promised"):
        random, flown = (Measured.of(*held_out) for held_out in zip(fixes, (anywhere, flight), alone, strict=True))
    return Outcome(
        random=random,
        flight=flown,
        times_ms=times_ms,
        crowd_ms=crowd_ms,
        release=release,
        fused_graph=fuse_graph,
        files=_draw(folder, flight, fixes[1], random, narrator),
        seconds=narrator.seconds,
    )


def _simulated(sizes: Sizes) -> str:
    return (
        f"simulated: {RECEIVERS} receivers, windows of {SAMPLES:,} I/Q samples in {1000 * DURATION_S:.0f} ms; "
        f"{sizes.train:,} to train on, {sizes.calibration:,} to calibrate with, "
        f"{sizes.test:,} and a flight of {sizes.track} held back"
    )


def _times_ms(client: Client, windows: Windows, narrator: Narrator) -> Floats:
    """Milliseconds of single calls, the first of which opens the connection and is left out."""
    ask = client.pipeline(NAME)
    rows = windows.iq[np.arange(LATENCY_CALLS + 1) % len(windows)]
    with narrator.step("time single windows over gRPC") as step:
        times = np.array([_timed_ms(ask, row) for row in rows])[1:]
        step.result(f"{len(times)} calls, p50 {np.median(times):.1f} ms")
    return times


def _crowd_ms(client: Client, windows: Windows, narrator: Narrator) -> Floats:
    """Milliseconds of calls of `CALLERS` callers at once, each of whom asks again as soon as it is answered."""
    ask = client.pipeline(NAME).tensors

    def caller(number: int) -> list[float]:
        rows = (number + np.arange(CALLS_EACH)) % len(windows)
        return [_timed_ms(ask, windows.iq[row]) for row in rows]

    with narrator.step(f"let {CALLERS} callers ask at once") as step, ThreadPoolExecutor(CALLERS) as crowd:
        times = np.concatenate(list(crowd.map(caller, range(CALLERS))))
        step.result(f"{len(times) / step.elapsed_s:.0f} windows a second, p95 {np.quantile(times, 0.95):.0f} ms")
    return times


def _timed_ms(ask: Any, row: NDArray[np.float32]) -> float:
    begun = time.perf_counter()
    ask(row)
    return (time.perf_counter() - begun) * 1000


def _fixes(client: Client, windows: Windows, narrator: Narrator) -> list[Fix]:
    ask = client.pipeline(NAME)
    with narrator.step(f"ask for {len(windows):,} held-back fixes") as step:
        fixes: list[Fix] = []
        for begin in range(0, len(windows), BATCH):
            fixes += ask(windows.iq[begin : begin + BATCH])
            step.at(len(fixes), len(windows))
        step.result(f"{len(windows) / step.elapsed_s:.0f} windows a second, {BATCH} a request")
    return fixes


def _members(client: Client, pipeline: Pipeline, windows: Windows, narrator: Narrator) -> dict[str, Floats]:
    """Where each member alone, asked through Triton, puts *windows*: latitude and longitude ``(N, 2)``."""
    rows = LogMel(LOG_MEL)(signal=windows.iq)["log_mel"]
    places = {}
    with narrator.step("compare with each member alone") as step:
        for name, member in pipeline.members.items():
            answers = client.pipeline(str(member.uri.name)).tensors(rows)["position"]
            places[name] = to_latitude_longitude(ORIGIN, answers.astype(np.float64))
            step.at(len(places), len(pipeline.members), name)
        medians = {name: np.median(errors_m(there, windows.truth)) for name, there in places.items()}
        step.result(", ".join(f"{name} {median:.0f} m" for name, median in medians.items()))
    return places


def _draw(
    folder: Folder, flight: Windows, fixes: Sequence[Fix], random: Measured, narrator: Narrator
) -> dict[str, str]:
    """Write the map, as GeoJSON and as a picture, and the spectrograms; their paths."""
    files = {"map": "track.geojson", "picture": "track.png", "spectra": "spectrograms.png"}
    paths = {what: folder.root / name for what, name in files.items()}
    with narrator.step("draw the map and the spectrograms") as step:
        drawn = write_track(paths["map"], flight, fixes)
        write_map(paths["picture"], flight, fixes, random)
        write_spectrograms(paths["spectra"], flight, LogMel(LOG_MEL))
        step.result(f"{drawn:,} features, two pictures")
    return {what: str(path) for what, path in paths.items()}
