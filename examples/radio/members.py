"""
Three small convolutional networks that place the drone, each looking at the six spectrograms in its own way.

All take log-mel spectrograms ``(B, R, bands, frames)`` in dBFS and answer ``position`` ``(B, 2)``, metres east and
north of the origin, and ``log_variances`` ``(B, 2)``, how sure they are along each axis.
Three different kinds of network err in different places: that makes their disagreement worth listening to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

POSITION_SCALE_M = 1000.0
"""Networks compute in kilometres, where numbers are near one, and answer in metres."""

LEVEL_DB, SPAN_DB = -60.0, 20.0
"""What is taken off the spectrograms' dBFS, and what they are divided by, before the first layer."""

LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE = -8.0, 2.0
"""Within 18 m and 2.7 km, in logarithms of square kilometres: no window is surer, none is worse."""


class Head(nn.Module):  # type: ignore[misc, unused-ignore]
    """From *width* features to the answer."""

    def __init__(self, width: int, hidden: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 4)
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Both tensors, in metres and in logarithms of square metres."""
        answer = self.layers(features)
        bounded = answer[:, 2:].clamp(LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE)
        per_metre = 2 * float(torch.log(torch.tensor(POSITION_SCALE_M)))
        return {"position": answer[:, :2] * POSITION_SCALE_M, "log_variances": bounded + per_metre}


class Together(nn.Module):  # type: ignore[misc, unused-ignore]
    """Receivers are the channels of one picture: the first layer already compares their Dopplers."""

    def __init__(self, receivers: int, bands: int, frames: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(receivers, 24, (5, 3), stride=(2, 2), padding=(2, 1)),
            nn.SiLU(),
            nn.Conv2d(24, 32, (5, 3), stride=(2, 2), padding=(2, 1)),
            nn.SiLU(),
            nn.Conv2d(32, 32, (3, 3), stride=(2, 2), padding=1),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.head = Head(32 * ((bands + 7) // 8) * ((frames + 7) // 8))

    def forward(self, log_mel: Tensor) -> dict[str, Tensor]:
        """The answer to ``(B, R, bands, frames)``."""
        answer: dict[str, Tensor] = self.head(self.layers((log_mel - LEVEL_DB) / SPAN_DB))
        return answer


class Across(nn.Module):  # type: ignore[misc, unused-ignore]
    """Receivers are one axis of a picture and bands the other: the same layers read each, then neighbours together."""

    def __init__(self, receivers: int, bands: int, frames: int) -> None:
        super().__init__()
        del frames
        self.layers = nn.Sequential(
            nn.Conv2d(2, 12, (1, 5), stride=(1, 2), padding=(0, 2)),
            nn.SiLU(),
            nn.Conv2d(12, 24, (3, 5), stride=(1, 2), padding=(1, 2)),
            nn.SiLU(),
            nn.Conv2d(24, 24, (3, 3), stride=(1, 2), padding=(1, 1)),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.head = Head(24 * receivers * ((bands + 7) // 8))

    def forward(self, log_mel: Tensor) -> dict[str, Tensor]:
        """The answer to ``(B, R, bands, frames)``."""
        pictures = _over_time((log_mel - LEVEL_DB) / SPAN_DB).unflatten(1, (2, -1))
        answer: dict[str, Tensor] = self.head(self.layers(pictures))
        return answer


class Spectra(nn.Module):  # type: ignore[misc, unused-ignore]
    """Time is averaged away: a deep network along the bands alone, with steps that add to what came before."""

    def __init__(self, receivers: int, bands: int, frames: int) -> None:
        super().__init__()
        del frames
        self.enter = nn.Conv1d(2 * receivers, 48, 5, stride=2, padding=2)
        self.steps = nn.ModuleList(nn.Conv1d(48, 48, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4))
        self.leave = nn.Conv1d(48, 16, 3, stride=2, padding=1)
        self.head = Head(16 * ((bands + 3) // 4))

    def forward(self, log_mel: Tensor) -> dict[str, Tensor]:
        """The answer to ``(B, R, bands, frames)``."""
        spectra = nn.functional.silu(self.enter(_over_time((log_mel - LEVEL_DB) / SPAN_DB)))
        for step in self.steps:
            spectra = spectra + nn.functional.silu(step(spectra))
        answer: dict[str, Tensor] = self.head(nn.functional.silu(self.leave(spectra)).flatten(1))
        return answer


def _over_time(scaled: Tensor) -> Tensor:
    """Each band's mean and its highest frame, ``(B, 2 R, bands)``: what is steady, and what is switched on and off."""
    return torch.cat([scaled.mean(-1), scaled.amax(-1)], dim=1)


MEMBERS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "radio-together": Together,
    "radio-across": Across,
    "radio-spectra": Spectra,
}
"""Each registered model, and how to make it for so many receivers, bands and frames."""
