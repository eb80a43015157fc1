"""
Real I/Q off the air through the served block ``spectrum``: ``python examples/radio/real_iq.py RECORDING``.

A recording is unsigned 8-bit I and Q in turn, as software radios of the RTL2832 family write them.  It is cut into
windows that overlap as the frames of one spectrogram do, asked of a block on the embedded Triton, and drawn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from sextant.blocks import Spectrum
from sextant.errors import InputRefused, SextantError
from sextant.tensors import Floats
from sextant_cli.demo.drawing import INK, plain, sheet
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.config import Configs, block_config
from sextant_export.pipeline import Serving
from sextant_export.shells import write_block
from sextant_export.store import Candidate, Store
from sextant_server import EmbeddedTriton

MODEL, WINDOWS_A_REQUEST = "recording.spectrum", 64
N_FFT, HOP, FRAMES = 64, 16, 125
SAMPLES = N_FFT + (FRAMES - 1) * HOP
"""A window: frames of 32 us at 2 Msps, 8 us apart; the next window begins where its first frame would be."""

COLUMNS, CLOSE_FRAMES = 1400, 120
INTERRUPTED, YOUR_FILE = 130, 1


def parameters(rate_hz: float) -> dict[str, object]:
    """What the block is told: levels are dB of full scale, a pure tone of full scale being 0."""
    return {
        "sample_rate_hz": rate_hz,
        "samples": SAMPLES,
        "signal": "iq",
        "n_fft": N_FFT,
        "hop": HOP,
        "center": False,
        "scale_to": "magnitude",
        "top_db": None,
        "precision": "float32",
    }


def read_iq(path: Path) -> NDArray[np.float32]:
    """I and Q ``(n, 2)`` between -1 and 1; InputRefused where the file is too short for a window."""
    try:
        pairs = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputRefused("RECORDING", "a file of unsigned 8-bit I/Q", f"{path}: {error.strerror}") from error
    if len(pairs) < 2 * SAMPLES:
        raise InputRefused("RECORDING", f"at least {2 * SAMPLES} bytes of I/Q", f"{len(pairs)} in {path}")
    return (pairs[: len(pairs) // 2 * 2].reshape(-1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(127.5)


def cut(iq: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Windows ``(N, SAMPLES, 2)`` whose frames, end to end, are those of the whole; what is left over is dropped.

    >>> cut(np.zeros((2 * SAMPLES, 2), np.float32)).shape == (2, SAMPLES, 2)
    True
    """
    starts = np.arange(0, len(iq) - SAMPLES + 1, FRAMES * HOP)
    return iq[starts[:, None] + np.arange(SAMPLES)]


def spectrogram(iq: NDArray[np.float32], rate_hz: float, narrator: Narrator) -> Floats:
    """The levels ``(bins, frames)`` in dB of full scale, as the served block answers them."""
    windows = cut(iq)
    with _served(Spectrum(parameters(rate_hz)), rate_hz) as client:
        ask = client.pipeline(MODEL)
        with narrator.step(f"ask for the spectra of {len(windows)} windows over gRPC") as step:
            answers = []
            for begin in range(0, len(windows), WINDOWS_A_REQUEST):
                answers.append(ask.tensors(windows[begin : begin + WINDOWS_A_REQUEST])["spectrum"])
                step.at(min(begin + WINDOWS_A_REQUEST, len(windows)), len(windows))
            step.result(f"{len(windows) / step.elapsed_s:.0f} windows of {SAMPLES} samples a second")
    return np.concatenate(list(np.concatenate(answers)), axis=1)


@contextmanager
def _served(block: Any, rate_hz: float) -> Iterator[Client]:
    """A client of a Triton that serves *block* alone."""
    write = partial(write_block, "spectrum", parameters(rate_hz))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).prepare()
        config = block_config(MODEL, block, Serving(max_batch_size=WINDOWS_A_REQUEST), [1])
        store.publish(Candidate(model=MODEL, version=1, configs=Configs(config), write=write))
        with EmbeddedTriton(store.root) as triton:
            triton.load(MODEL)
            with Client(triton.address.grpc) as client:
                yield client


def write_picture(path: Path, levels: Floats, iq: NDArray[np.float32], rate_hz: float, center_hz: float) -> float:
    """The whole recording, and its loudest moment beside its samples; gives when that is, in ms."""
    figure = sheet(14, 8, "Real I/Q through the block `spectrum` on Triton")
    panels = figure.subplot_mosaic([["whole", "whole"], ["close", "wave"]], height_ratios=[1, 1.1])
    frame_s, reach_mhz = HOP / rate_hz, rate_hz / 2e6
    quiet, loud = (float(level) for level in np.quantile(levels, [0.3, 0.9999]))
    first = _loudest(levels)
    last = first + CLOSE_FRAMES
    everything = (0.0, levels.shape[1] * frame_s * 1e3, -reach_mhz, reach_mhz)
    _image(panels["whole"], _folded(levels), everything, (quiet, loud))
    panels["whole"].axvspan(first * frame_s * 1e3, last * frame_s * 1e3, color="white", alpha=0.35, linewidth=0)
    panels["whole"].set_title("the whole recording, the loudest frame of each column", fontsize=10, loc="left")
    close = (first * frame_s * 1e6, last * frame_s * 1e6, -reach_mhz, reach_mhz)
    image = _image(panels["close"], levels[:, first:last], close, (quiet, loud))
    panels["close"].set_title("its loudest moment (the pale stripe above)", fontsize=10, loc="left")
    _wave(panels["wave"], iq, range(first * HOP, last * HOP), rate_hz)
    panels["whole"].set(xlabel="ms", ylabel=f"MHz from {center_hz / 1e6:g} MHz")
    panels["close"].set(xlabel="us", ylabel=f"MHz from {center_hz / 1e6:g} MHz")
    figure.colorbar(image, ax=panels["whole"], label="dB of full scale", pad=0.01)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return first * frame_s * 1e3


def _loudest(levels: Floats) -> int:
    """The frame at which the stretch of `CLOSE_FRAMES` with the most power begins."""
    power = np.concatenate([[0.0], np.cumsum((10 ** (levels.astype(np.float64) / 10)).sum(axis=0))])
    return int(np.argmax(power[CLOSE_FRAMES:] - power[:-CLOSE_FRAMES]))


def _folded(levels: Floats) -> Floats:
    """At most `COLUMNS` columns: of the frames that share one, each bin's highest level."""
    starts = np.unique(np.linspace(0, levels.shape[1] - 1, COLUMNS).astype(int))
    return np.asarray(np.maximum.reduceat(levels, starts, axis=1))


def _image(
    axes: Axes, levels: Floats, extent: tuple[float, float, float, float], ends: tuple[float, float]
) -> AxesImage:
    low, high = ends
    axes.tick_params(colors=INK, labelsize=9)
    return axes.imshow(levels, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma")


def _wave(axes: Axes, iq: NDArray[np.float32], samples: range, rate_hz: float) -> None:
    """How loud the samples themselves are: pulses of half a microsecond, two samples to a bit."""
    rows = np.asarray(samples)
    axes.plot(rows / rate_hz * 1e6, np.hypot(*iq[rows].T), color=INK, linewidth=0.6)
    axes.set(xlabel="us", ylabel="|I + jQ|, full scale = 1", xlim=(rows[0] / rate_hz * 1e6, rows[-1] / rate_hz * 1e6))
    plain(axes, "the same moment, sample by sample")


def main() -> int:
    """Run with the command line's words; the exit code."""
    options = _options().parse_args()
    try:
        narrator, iq = Narrator(), read_iq(options.recording)
        levels = spectrogram(iq, options.rate_hz, narrator)
        when_ms = write_picture(options.picture, levels, iq, options.rate_hz, options.center_hz)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except SextantError as error:
        print(f"real_iq: {error}", file=sys.stderr)
        return YOUR_FILE
    bins, frames = levels.shape
    print(f"{len(iq):,} samples, {frames:,} frames of {bins} bins; noise {np.median(levels):.1f} dB of full scale,")
    print(f"loudest {levels.max():.1f} dB, the loudest moment begins at {when_ms:.2f} ms; picture {options.picture}")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="examples/radio/real_iq.py", description=__doc__)
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="unsigned 8-bit I/Q")
    parser.add_argument("--rate-hz", type=float, default=2e6, help="samples a second  [default: 2e6]")
    parser.add_argument("--center-hz", type=float, default=1090e6, help="what it was tuned to  [default: 1090e6]")
    parser.add_argument("--picture", type=Path, default=Path("var/radio/real_iq.png"), metavar="FILE.png")
    return parser


if __name__ == "__main__":
    sys.exit(main())
