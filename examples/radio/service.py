"""
The radio location service as a pipeline: what its page says, and everything the page needs, made where it is missing.

    iq -- log_mel --+-- together --+
                    +-- across ----+-- fuse -- ellipse -- latitude, longitude, 50/90/95 % ellipses
                    +-- spectra ---+
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from radio.members import MEMBERS
from radio.receivers import RECEIVERS, SAMPLE_RATE_HZ, SAMPLES
from radio.scene import ORIGIN
from radio.training import train_and_register
from radio.windows import Sizes, calibration, save_known_cases
from sextant.blocks import LogMel
from sextant_cli.demo.serving import Place
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import Pipeline, load_pipeline

NAME = "radio"
CONFIDENCE_LEVELS = (0.5, 0.9, 0.95)

LOG_MEL: Mapping[str, Any] = MappingProxyType(
    {
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples": SAMPLES,
        "signal": "iq",
        "receivers": RECEIVERS,
        "n_fft": 256,
        "hop": 128,
        "n_mels": 32,
        "dc_band": True,  # the pilot stands near zero, and a Doppler moves it across
        "top_db": None,  # a level is a level: nothing is counted from the loudest receiver
        "precision": "float32",
    }
)
"""31 Hz a bin; 32 bands on either side of zero and one between: 71 Hz wide where the pilot's Doppler moves it."""


class Folder(Place):
    """The place of the example, with its page and pictures in it."""

    @property
    def page(self) -> Path:
        """The pipeline's spec."""
        return self.root / f"{NAME}.yaml"


def prepare(folder: Folder, sizes: Sizes, narrator: Narrator, *, fuse_graph: bool = False) -> Pipeline:
    """
    The pipeline, with its members in the registry of *folder* and its known cases beside its page.

    What an earlier run left there and is still valid is used again.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    with narrator.step("train and register three networks") as step:
        registered = train_and_register(sizes, LogMel(LOG_MEL), folder.tracking_uri, folder.artifacts, step.at)
        step.result(", ".join(map(str, registered)))
    with narrator.step("write the page and its known cases") as step:
        save_known_cases(calibration(sizes), folder.root / "calibration.npz")
        page = yaml.safe_dump(spec(sizes, fuse_graph=fuse_graph), sort_keys=False)
        folder.page.write_text(page, encoding="utf-8")
        step.result(f"{folder.page}, {sizes.calibration:,} windows")
    return load_pipeline(folder.page)


def spec(sizes: Sizes, *, fuse_graph: bool = False) -> dict[str, Any]:
    """The page, as a user would write it."""
    return {
        "name": NAME,
        "answer": "position",
        "members": {name.removeprefix("radio-"): f"models:/{name}@champion" for name in MEMBERS},
        "steps": [
            {"block": "log_mel", "with": dict(LOG_MEL)},
            "members",
            {"block": "fuse", "with": {"method": "moment", "frame": "east_north_m", "origin": list(ORIGIN)}},
            {"block": "ellipse", "with": {"confidence_levels": list(CONFIDENCE_LEVELS)}},
        ],
        "calibration": {"data": "calibration.npz", "truth": ["latitude", "longitude"]},
        "serving": {
            "max_batch_size": 32,
            "max_queue_delay_us": 0,
            "instances": 1,
            **({"fuse_graph": True} if fuse_graph else {}),
        },
        "gate": {"coverage": {"level": 0.95, "at_least": 0.92}, "median_error_m": {"at_most": sizes.enough_m}},
    }
