"""
What the blocks ``fuse`` and ``ellipse`` take, in microseconds a row, at batches of 1, 64 and 1,024.

``direct`` is the block called as a function. ``triton`` is what the embedded Triton's own statistics say of the model's
execution: the block, and the tensors' way between the server and the Python process beside it; callers, networks and
queues are not in it. Three members unless the name says otherwise.
Run: ``python benchmarks/block_speed.py``, a minute; ``--quick`` repeats less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from report import report
from sextant.blocks import BLOCKS
from sextant.geodesy import to_latitude_longitude
from sextant.tensors import triton_type
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving
from sextant_export.projection import projections
from sextant_export.shells import write_block
from sextant_server import EmbeddedTriton

BATCHES = (1, 64, 1024)
TARGET_US = 5.0
SPOT = (48.137, 11.575)
RNG = np.random.default_rng(1)


class Case(NamedTuple):
    """A block with its *parameters*, its *tensors* for the largest batch, and whether the target is meant for it."""

    name: str
    block: str
    parameters: dict[str, Any]
    tensors: dict[str, np.ndarray]
    promised: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repeats = 10 if parser.parse_args().quick else 100
    for case in cases():
        for rows in BATCHES:
            direct(case, rows, repeats)
    served(repeats)


def cases() -> Iterator[Case]:
    yield fuse("plane.moment", 3, {}, promised=True)
    yield fuse("plane.moment.sigmas", 3, {}, sigmas=True, promised=True)
    yield fuse("plane.covariance_intersection", 3, {"method": "covariance_intersection"})
    yield fuse("plane.covariance_intersection.sigmas", 3, {"method": "covariance_intersection"}, sigmas=True)
    yield fuse("plane.inverse_variance", 3, {"method": "inverse_variance", "members_are_independent": True})
    yield fuse("plane.spread", 3, {"method": "spread"})
    yield fuse("plane.moment.8_members", 8, {})
    yield fuse("plane.covariance_intersection.8_members.sigmas", 8, {"method": "covariance_intersection"}, sigmas=True)
    for frame in ("latitude_longitude", "EPSG:25832", "EPSG:3857"):
        yield fuse(f"{frame}.moment", 3, {}, frame=frame, promised=True)
    yield fuse(
        "latitude_longitude.covariance_intersection",
        3,
        {"method": "covariance_intersection"},
        frame="latitude_longitude",
    )
    yield ellipse()


def fuse(
    name: str,
    members: int,
    method: dict[str, Any],
    *,
    frame: str = "east_north_m",
    sigmas: bool = False,
    promised: bool = False,
) -> Case:
    """Members ten metres from each other, whose errors are 8 to 20 m."""
    offsets = RNG.normal(0, 10, (max(BATCHES), members, 2))
    parameters = {
        "members": [f"member_{i}" for i in range(members)],
        "member_covariances": [np.diag(row**2).tolist() for row in RNG.uniform(8, 20, (members, 2))],
        "slots": {f"member_{i}": "FP64" for i in range(members)},
        "projections": projections([frame]),
        "frame": frame,
        **({"origin": SPOT} if frame == "east_north_m" else {}),
        **method,
    }
    tensors = {f"member_{i}": answers(offsets[:, i], frame) for i in range(members)}
    if sigmas:
        said = {f"sigmas_{i}": RNG.uniform(8, 20, (max(BATCHES), 2)).astype(np.float32) for i in range(members)}
        tensors |= said
    return Case(f"fuse.{name}", "fuse", parameters, tensors, promised)


def answers(offsets: np.ndarray, frame: str) -> np.ndarray:
    if frame == "east_north_m":
        return offsets
    places = to_latitude_longitude(SPOT, offsets)
    if frame == "latitude_longitude":
        return places
    import pyproj

    to_grid = pyproj.Transformer.from_crs(4326, frame, always_xy=True).transform
    return np.stack(to_grid(places[:, 1], places[:, 0]), axis=-1)


def ellipse() -> Case:
    rows = max(BATCHES)
    roots = RNG.normal(0, 10, (rows, 2, 2))
    tensors = {
        "fused_position": to_latitude_longitude(SPOT, RNG.normal(0, 100, (rows, 2))),
        "fused_covariance": roots @ np.swapaxes(roots, 1, 2) + np.eye(2),
        "fused_between_share": RNG.uniform(0, 1, (rows, 1)),
        "fused_members_used": np.full((rows, 1), 3, np.int32),
        "fused_multimodal": np.zeros((rows, 1), np.bool_),
        "fused_members_rejected": np.full((rows, 1), b"", object),
    }
    parameters = {"confidence_levels": [0.5, 0.9, 0.95], "radii": [1.2, 2.2, 2.6], "release": 1}
    return Case("ellipse.3_levels", "ellipse", parameters, tensors, promised=True)


def direct(case: Case, rows: int, repeats: int) -> None:
    """Report the block called as a function, at its best of *repeats*."""
    block, tensors = BLOCKS[case.block](case.parameters), {k: v[:rows].copy() for k, v in case.tensors.items()}
    block(**tensors)
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        block(**tensors)
        took.append(time.perf_counter() - started)
    tell(case, rows, "direct", min(took) / rows * 1e6)


def tell(case: Case, rows: int, door: str, each_us: float) -> None:
    """Report microseconds a row, with the target where it is meant."""
    promised = case.promised and rows == max(BATCHES)
    given = {"target": f"<= {TARGET_US:g}", "ok": each_us <= TARGET_US} if promised else {}
    report(f"block.{case.name}.batch_{rows}.{door}", round(each_us, 3), "us/row", **given)


def served(repeats: int) -> None:
    """Report the same through the embedded Triton."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [case for case in cases() if case.promised]
        for case in asked:
            write(Path(folder, "models", case.name), case)
        with (
            EmbeddedTriton(Path(folder), models=[case.name for case in asked], stop_timeout_s=1) as triton,
            InferenceServerClient(triton.address.grpc.removeprefix("grpc://")) as client,
        ):
            for case in asked:
                for rows in BATCHES:
                    tell(case, rows, "triton", executed(client, case, rows, repeats))


def write(place: Path, case: Case) -> None:
    write_block(case.block, case.parameters, place / "1")
    config = block_config(case.name, BLOCKS[case.block](case.parameters), Serving(max_batch_size=max(BATCHES)), [1])
    write_config(config, place / "config.pbtxt")


def executed(client: InferenceServerClient, case: Case, rows: int, repeats: int) -> float:
    """Microseconds a row that Triton counts as the model's execution."""
    inputs = []
    for name, array in case.tensors.items():
        inputs.append(InferInput(name, (rows, *array.shape[1:]), triton_type(array.dtype)))
        inputs[-1].set_data_from_numpy(np.ascontiguousarray(array[:rows]))
    for _ in range(5):
        client.infer(case.name, inputs)
    before = statistics(client, case.name)
    for _ in range(repeats):
        client.infer(case.name, inputs)
    after = statistics(client, case.name)
    return (after - before) / repeats / rows / 1e3


def statistics(client: InferenceServerClient, model: str) -> int:
    """Nanoseconds of execution so far."""
    (found,) = client.get_inference_statistics(model).model_stats
    return int(found.inference_stats.compute_infer.ns)


if __name__ == "__main__":
    main()
