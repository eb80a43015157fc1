"""A fix's ellipse in the words of two standards that carry one: QuakeML and NMEA 0183."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import reduce
from operator import xor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sextant.covariance import checked_covariance
from sextant.ellipse import confidence_ellipse
from sextant.errors import ParametersError
from sextant.fix import ErrorEllipse

# A sentence has at most 82 characters: eight digits before the point fit, and are 2.5 times round the earth.
_LONGEST_M = 1e8


def quakeml_origin_uncertainty(ellipse: ErrorEllipse, *, degenerate: bool = False) -> dict[str, Any]:
    """
    The fields of an ``OriginUncertainty`` of QuakeML 1.2.

    Half axes in metres, the azimuth clockwise from the south-north direction, the level in percent; the
    description is one of the enumeration's three.  Source: the QuakeML basic event description 1.2
    (quake.ethz.ch/quakeml), and ObsPy's ``OriginUncertaintyDescription``.

    A *degenerate* ellipse, a line or a point, is no area to publish: its fields are the circle about it, which holds
    the truth whenever the line does.

    >>> quakeml_origin_uncertainty(ErrorEllipse(0.9, 20.0, 10.0, 45.0))["confidenceLevel"]
    90.0
    """
    percent = round(100 * ellipse.confidence_level, 10)
    if degenerate or ellipse.semi_minor_m <= 0:
        return {
            "horizontalUncertainty": ellipse.semi_major_m,
            "confidenceLevel": percent,
            "preferredDescription": "horizontal uncertainty",
        }
    return {
        "minHorizontalUncertainty": ellipse.semi_minor_m,
        "maxHorizontalUncertainty": ellipse.semi_major_m,
        "azimuthMaxHorizontalUncertainty": ellipse.orientation_deg,
        "confidenceLevel": percent,
        "preferredDescription": "uncertainty ellipse",
    }


def nmea_gst(covariance: ArrayLike, time: datetime, talker: str) -> str:
    r"""
    A ``GST`` sentence of NMEA 0183: a position's error statistics, each of one standard deviation.

    Its fields are the UTC time, the RMS of the ranges, the deviations along the ellipse's longer and shorter
    axes, the longer one's degrees from true north, and the deviations of latitude, longitude and altitude.
    Those of the ranges and the altitude stay empty, as does a deviation of 100,000 km and more.  Source:
    u-blox's and Trimble's descriptions of GST, e.g. receiverhelp.trimble.com/oem-gnss/nmea0183-messages-gst.html.

    >>> nmea_gst([[4, 0], [0, 1]], datetime(2026, 5, 4, tzinfo=timezone.utc), "GN")
    '$GNGST,000000.00,,2.000,1.000,90.0,1.000,2.000,*70\r\n'
    """
    if not isinstance(time, datetime) or time.utcoffset() is None:
        raise ParametersError(f"time: expected a time with its zone, as datetime.now(timezone.utc), got {time!r}")
    if not (isinstance(talker, str) and re.fullmatch("[A-Z]{2}", talker)):
        raise ParametersError(f"talker: expected two capital letters, as 'GN', got {talker!r}")
    utc = time.astimezone(timezone.utc)
    checked = checked_covariance(covariance)
    unit = confidence_ellipse(checked, 1.0)
    east, north = np.sqrt(np.diag(checked))
    fields = [
        f"{talker}GST",
        f"{utc:%H%M%S}.{utc.microsecond // 10_000:02d}",
        "",
        *_metres((unit.semi_major_m, unit.semi_minor_m)),
        f"{round(float(unit.orientation_deg), 1) % 180:.1f}",
        *_metres((north, east)),
        "",
    ]
    sentence = ",".join(fields)
    return f"${sentence}*{reduce(xor, sentence.encode('ascii')):02X}\r\n"


def _metres(deviations: Iterable[Any]) -> list[str]:
    return [f"{deviation:.3f}" if deviation < _LONGEST_M - 1 else "" for deviation in deviations]
