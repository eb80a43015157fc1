"""A delivery of MLflow's rings, once; everything else is told why it does not."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from sextant.errors import ParametersError
from sextant_promote.hooks import (
    DELIVERY_ID,
    LARGEST_BODY,
    REMEMBERED,
    SIGNATURE,
    TIMESTAMP,
    WINDOW_S,
    Deliveries,
    Hook,
)

SECRET, NOW = "a secret", 1_700_000_000
BODY = b'{"entity": "model_version_alias", "action": "created", "data": {"name": "ridge \xc3\xa9"}}'


def signed(delivery="d1", stamp=str(NOW), body=BODY, secret=SECRET):
    """The headers that MLflow itself would send."""
    signature = _generate_hmac_signature(secret, delivery, stamp, body.decode())
    return {DELIVERY_ID: delivery, TIMESTAMP: stamp, SIGNATURE: signature}


@pytest.fixture
def deliveries():
    return Deliveries(SECRET, clock=lambda: NOW)


def test_a_delivery_that_mlflow_signed_counts(deliveries):
    assert deliveries.refusal(signed(), BODY) is None


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({}, BODY, "not signed"),
        (signed(secret="another"), BODY, "does not fit"),
        (signed(), BODY + b" ", "does not fit"),
        ({**signed(), DELIVERY_ID: "d2"}, BODY, "does not fit"),
        ({**signed(), TIMESTAMP: str(NOW + 1)}, BODY, "does not fit"),
        ({**signed(), SIGNATURE: "v1,"}, BODY, "does not fit"),
        ({**signed(), SIGNATURE: signed()[SIGNATURE].replace("v1", "v2")}, BODY, "does not fit"),
        ({**signed(), SIGNATURE: "v1,\xe9"}, BODY, "does not fit"),
        (signed(stamp=str(NOW - WINDOW_S - 1)), BODY, "signed more than 300 s from now"),
        (signed(stamp=str(NOW + WINDOW_S + 1)), BODY, "signed more than 300 s from now"),
        (signed(stamp="yesterday"), BODY, "signed more than 300 s from now"),
        (signed(stamp="9" * 4000), BODY, "signed more than 300 s from now"),
    ],
    ids=[
        "no headers",
        "another secret",
        "another body",
        "another id",
        "another time",
        "no signature",
        "another scheme",
        "not ASCII",
        "stale",
        "from the future",
        "no number",
        "a long number",
    ],
)
def test_a_delivery_that_mlflow_did_not_sign_now_is_refused(deliveries, headers, body, said):
    refused = deliveries.refusal(headers, body)

    assert refused.status == 401
    assert said in refused.sentence


def test_a_delivery_counts_once_while_its_time_stamp_is_fresh():
    """It may be signed in the future by as much as the window: it is remembered until then, and as long again."""
    now = NOW
    deliveries = Deliveries(SECRET, clock=lambda: now)
    early = signed(stamp=str(NOW + WINDOW_S))

    first = deliveries.refusal(early, BODY)
    now = NOW + 2 * WINDOW_S
    again = deliveries.refusal(early, BODY)
    now += 1
    late = deliveries.refusal(early, BODY)

    assert (first, again.status, late.status) == (None, 409, 401)


def test_what_is_remembered_is_bounded():
    """No delivery is forgotten while it could be replayed: too many are refused instead."""
    now = NOW
    deliveries = Deliveries(SECRET, clock=lambda: now)
    deliveries._seen.update((f"other{i}", NOW) for i in range(REMEMBERED))

    full = deliveries.refusal(signed(), BODY)
    now += 1
    later = deliveries.refusal(signed(), BODY)

    assert (full.status, later) == (429, None)
    assert len(deliveries._seen) == 1


def test_a_refused_delivery_is_not_remembered(deliveries):
    """Or anyone who guesses an id could keep MLflow's own out."""
    deliveries.refusal(signed(secret="another"), BODY)

    assert deliveries.refusal(signed(), BODY) is None


@pytest.fixture
def door():
    """A hook that listens, with how often it rang."""
    rung = threading.Semaphore(0)
    with Hook("127.0.0.1", 0, SECRET, rung.release) as hook:
        yield hook, rung


def post(url, body, headers):
    """The status, and what was said."""
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_delivery_rings_and_its_replay_does_not(door):
    """Over HTTP, as MLflow sends it."""
    import time

    hook, rung = door
    headers = signed(stamp=str(int(time.time())))

    first, again = post(hook.url, BODY, headers), post(hook.url, BODY, headers)

    assert (first[0], again[0]) == (202, 409)
    assert rung.acquire(timeout=30)
    assert not rung.acquire(blocking=False)


def test_what_is_not_signed_does_not_ring(door):
    hook, rung = door

    status, said = post(hook.url, BODY, {})

    assert (status, said[:10]) == (401, "not signed")
    assert not rung.acquire(blocking=False)


def test_a_large_body_is_not_read_to_its_end(door):
    """However large it says it is."""
    hook, rung = door
    address = urllib.parse.urlsplit(hook.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.putrequest("POST", address.path)
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders(bytes(LARGEST_BODY + 1))

    reply = connection.getresponse()
    connection.close()

    assert reply.status == 413
    assert not rung.acquire(blocking=False)


def test_its_health_can_be_asked(door):
    hook, _ = door

    with urllib.request.urlopen(hook.url.replace("/hooks/mlflow", "/health"), timeout=30) as reply:
        assert (reply.status, reply.read()) == (200, b"ok\n")


def test_without_a_secret_it_does_not_start():
    with pytest.raises(ParametersError, match="the webhook needs a secret"):
        Hook("127.0.0.1", 0, "", lambda: None)


def test_an_address_that_is_taken_is_named(door):
    hook, _ = door
    port = urllib.parse.urlsplit(hook.url).port

    with pytest.raises(ParametersError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
        Hook("127.0.0.1", port, SECRET, lambda: None)
