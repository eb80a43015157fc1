"""
Spectra: how near to librosa in float64, which side a tone lands on, how fast, and an aircraft found off the air.

Nearness is the largest difference within 80 dB of the loudest value of a window, over noise, tones, chirps and dying
tones 40 to 110 dB above noise. Speed is microseconds a window, the best of several medians: in this process on one
thread, and through the embedded Triton.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import librosa_reference
import served_spectra
from mode_s import clean_frames, read_iq
from sextant.blocks import LogMel
from sextant_server import EmbeddedTriton

DATA = Path(__file__).parents[2] / "shared" / "data" / "adsb_iq_modes1" / "modes1.bin"
SAMPLES = 16000
AUDIO = {"sample_rate_hz": 16000, "samples": SAMPLES, "hop": 160, "n_mels": 64}
RADIO = {"sample_rate_hz": 2e6, "samples": 1024, "signal": "iq", "receivers": 6, "n_fft": 128, "hop": 128}
RADIO |= {"n_mels": 32, "mel_scale": "linear", "dc_band": True}
PRECISIONS = ("float64", "float32")
BATCHES = (1, 8, 64)


def session(model: onnx.ModelProto) -> Callable[[Any], Any]:
    """The first output of *model* on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    opened = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda signal: opened.run(None, {"signal": signal})[0]


STFT_NODES: list[tuple[list[str], str, str, dict[str, Any]]] = [
    (["signal", "pads"], "Pad", "padded", {}),
    (["padded", "last"], "Unsqueeze", "line", {}),
    (["line", "hop", "window", "points"], "STFT", "spectra", {}),
    (["spectra", "spectra"], "Mul", "squares", {}),
    (["squares", "minus"], "ReduceSum", "power", {"keepdims": 0}),
    (["power", "bands"], "MatMul", "banded", {}),
    (["banded", "amin"], "Max", "floored", {}),
    (["floored"], "Log", "logs", {}),
    (["logs", "factor"], "Mul", "decibels", {}),
    (["decibels"], "Transpose", "answer", {"perm": [0, 2, 1]}),
]


def stft_of_onnx(parameters: dict[str, Any]) -> onnx.ModelProto:
    """What ONNX offers for this: its own STFT, on a padded signal, and our bands."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, taken, [given], **more) for taken, kind, given, more in STFT_NODES],
        "stft",
        [onnx.helper.make_tensor_value_info("signal", 1, ["batch", SAMPLES])],
        [onnx.helper.make_tensor_value_info("answer", 1, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in stft_weights(parameters).items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def stft_weights(parameters: dict[str, Any]) -> dict[str, Any]:
    """The constants that `STFT_NODES` name."""
    transform, n_fft = LogMel(parameters).transform, parameters["n_fft"]
    return {
        "pads": np.array([0, n_fft // 2, 0, n_fft // 2]),
        "last": np.array([2]),
        "hop": np.array(parameters["hop"]),
        "window": transform.frames.taper.astype(np.float32),
        "points": np.array(n_fft),
        "minus": np.array([-1]),
        "bands": transform.in_fft_order,
        "amin": np.float32(1e-10),
        "factor": np.float32(10 / np.log(10)),
    }


def ways(parameters: dict[str, Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """The block and its graph, in either precision."""
    for precision in PRECISIONS:
        said = {**parameters, "precision": precision}
        block = LogMel(said)
        yield f"numpy.{precision}", lambda signal, block=block: block(signal=signal)["log_mel"]
        yield f"onnx.{precision}", session(served_spectra.graph_of("log_mel", said))


def nearness(rounds: int) -> None:
    targets = {"numpy.float64": 1e-3, "onnx.float64": 0.01, "onnx.float32": 0.01}
    rng = np.random.default_rng(20)
    signals = np.concatenate([librosa_reference.signals(SAMPLES, rng) for _ in range(rounds)])
    for n_fft in (256, 512, 1024, 2048, 400, 1000, 1009):
        parameters = {**AUDIO, "n_fft": n_fft, "empty_bands": "keep"}
        said = {"hop": 160, "n_mels": 64, "n_fft": n_fft}
        wanted = np.stack([librosa_reference.log_mel(signal, samples=SAMPLES, **said) for signal in signals])
        for way, answer in (*ways(parameters), ("onnx.stft_operator", session(stft_of_onnx(parameters)))):
            worst = max(
                librosa_reference.worst_db(answer(signals[i : i + 9]), wanted[i : i + 9])
                for i in range(0, len(signals), 9)
            )
            target = targets.get(way)
            ok = None if target is None else worst <= target
            report(f"spectra.log_mel.{way}.n_fft_{n_fft}.worst", worst, "dB", target=target and f"<= {target:g}", ok=ok)


def mistakes() -> None:
    """What another convention of the same name costs, within 80 dB of the loudest value."""
    signals = librosa_reference.signals(SAMPLES, np.random.default_rng(20))
    said = {"hop": 160, "n_mels": 40, "n_fft": 512, "samples": SAMPLES}
    symmetric = np.hanning(512)
    right = np.stack([librosa_reference.log_mel(signal, **said) for signal in signals])
    for name, other in (
        ("htk_scale", {"mel_scale": "htk"}),
        ("no_norm", {"norm": "none"}),
        ("htk_scale_and_no_norm", {"mel_scale": "htk", "norm": "none"}),
        ("symmetric_window", {"window": symmetric}),
        ("mirrored_padding", {"pad_mode": "reflect"}),
    ):
        wrong = np.stack([librosa_reference.log_mel(signal, **said, **other) for signal in signals])
        report(f"spectra.mistakes.{name}.worst", librosa_reference.worst_db(wrong, right), "dB")
    htk = {"mel_scale": "htk", "norm": "none"}
    ours = np.stack([librosa_reference.log_mel(signal, **said, **htk) for signal in signals])
    theirs = _with_the_operator_of_onnx(signals)
    report("spectra.mistakes.mel_weight_matrix.worst", librosa_reference.worst_db(theirs, ours), "dB")


def _with_the_operator_of_onnx(signals: Any) -> Any:
    """Log-mel spectra with the bank of ONNX's MelWeightMatrix, which is said to be HTK's."""
    block = LogMel({**AUDIO, "n_fft": 512, "n_mels": 40})
    power = block.transform.frames.power(signals).astype(np.float64)
    decibels = 10 * np.log10(np.maximum(power @ served_spectra.mel_weight_matrix(40, 512, 16000), 1e-10))
    loudest = decibels.max(axis=(1, 2), keepdims=True)
    return np.swapaxes(np.maximum(decibels, loudest - 80), 1, 2)


def sides(tones: int) -> None:
    """Tones of either sign at four sample rates, against the band that hears them loudest."""
    rng, wrong = np.random.default_rng(3), 0
    for rate_hz in (16e3, 48e3, 250e3, 2e6):
        said = {"sample_rate_hz": rate_hz, "samples": 1024, "signal": "iq", "n_fft": 256, "hop": 256, "center": False}
        block = LogMel({**said, "n_mels": 12, "mel_scale": "linear", "norm": "none"})
        hz = np.append(rng.uniform(rate_hz / 128, rate_hz / 2.2, tones), [3000.0] * (rate_hz < 3e5))
        phase = 2 * np.pi / rate_hz * hz[:, None] * np.arange(1024)
        for side in (1, -1):
            iq = np.stack([np.cos(phase), side * np.sin(phase)], axis=-1).astype(np.float32)
            loudest = block(signal=iq)["log_mel"][..., 0].argmax(axis=1)
            wrong += int(((loudest >= 12) != (side > 0)).sum())
    report("spectra.mirrored.tones_on_the_wrong_side", wrong, f"of {8 * tones + 6} tones", target="0", ok=wrong == 0)


def timed(call: Callable[[Any], Any], signal: Any, seconds: float) -> float:
    """Microseconds a window: the least of three medians."""
    medians = []
    for _ in range(3):
        taken, until = [], time.perf_counter() + seconds / 3
        while not taken or time.perf_counter() < until:
            since = time.perf_counter()
            call(signal)
            taken.append(time.perf_counter() - since)
        medians.append(float(np.median(taken)))
    return min(medians) * 1e6 / len(signal)


def noise(parameters: dict[str, Any], rows: int) -> Any:
    dims = LogMel(parameters).inputs[0].dims
    return np.random.default_rng(4).standard_normal((rows, *dims)).astype(np.float32)


def speed(seconds: float) -> None:
    audio = {**AUDIO, "n_fft": 512}
    for name, parameters in (
        ("audio_1s_512", audio),
        ("audio_1s_400", {**AUDIO, "n_fft": 400}),
        ("radio_6x1024", RADIO),
    ):
        for way, answer in ways(parameters):
            for batch in BATCHES:
                report(
                    f"spectra.{name}.{way}.batch_{batch}",
                    timed(answer, noise(parameters, batch), seconds),
                    "us a window",
                )
    for name, answer in (("onnx.stft_operator", session(stft_of_onnx(audio))), ("librosa", _librosa)):
        report(f"spectra.audio_1s_512.{name}.batch_8", timed(answer, noise(audio, 8), seconds), "us a window")


def _librosa(signals: Any) -> Any:
    return [librosa_reference.log_mel(signal, samples=SAMPLES, hop=160, n_fft=512, n_mels=64) for signal in signals]


def through_triton(seconds: float) -> None:
    """The blocks and their graphs served: speed on made windows, and the aircraft's where the data is."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        served = {"radio": ("log_mel", RADIO)}
        served |= {f"aircraft-{block}": (block, said) for block, said in served_spectra.BLOCKS_FOR_AIRCRAFT.items()}
        for name, (block, parameters) in served.items():
            served_spectra.write_block(models, name, block, parameters)
            served_spectra.write_graph(models, f"{name}.graph", block, parameters)
        with EmbeddedTriton(Path(folder), models=sorted(path.name for path in models.iterdir())) as triton:
            triton.wait_ready()
            _served_speed(triton.address.grpc, seconds)
            if DATA.is_file():
                _found(triton.address.grpc)


def _served_speed(address: str, seconds: float) -> None:
    """One caller, one request after the other."""
    with served_spectra.connected(address) as client:
        for way, model in (("block", "radio"), ("graph", "radio.graph")):
            for batch in BATCHES:
                signal = noise(RADIO, batch)
                taken = timed(lambda rows, name=model: served_spectra.first(client, name, rows), signal, seconds)
                report(f"spectra.radio_6x1024.triton.{way}.batch_{batch}", taken, "us a window")


def _found(address: str) -> None:
    """How well a window's energy tells those that hold a clean frame."""
    iq = read_iq(DATA)
    frames = clean_frames(iq)
    windows, held = served_spectra.windows_of(iq, frames)
    report(
        "spectra.aircraft.clean_frames",
        len(frames),
        "frames, all of one aircraft",
        target=">= 214",
        ok=len(frames) >= 214,
    )
    for block in served_spectra.BLOCKS_FOR_AIRCRAFT:
        energy = served_spectra.energy_db(served_spectra.ask(address, f"aircraft-{block}", windows))
        holding, none = energy[held >= served_spectra.WHOLE_SHORT_FRAME], energy[held == 0]
        area = served_spectra.area_under_curve(holding, none)
        report(
            f"spectra.aircraft.{block}.auc",
            area,
            f"{len(holding)} windows against {len(none)}",
            target=">= 0.9",
            ok=area >= 0.9,
        )
        report(
            f"spectra.aircraft.{block}.separation", float(np.median(holding) - np.median(none)), "dB between medians"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the signals, and a fifth of the time for speed"
    )
    quick = parser.parse_args().quick
    nearness(4 if quick else 40)
    mistakes()
    sides(25 if quick else 250)
    speed(0.1 if quick else 0.6)
    through_triton(0.3 if quick else 1.5)


if __name__ == "__main__":
    main()
