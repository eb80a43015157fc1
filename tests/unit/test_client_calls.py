"""What a client promises whichever way it is driven, over functions in place of a server."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import client_doors
from sextant import errors
from sextant.answers import Fix
from sextant_client import AsyncClient, Client
from sextant_client.testing import InMemoryTransport
from sextant_client.transport import ModelConfig, ModelInfer, ModelMetadata


class Recorded(InMemoryTransport):
    """Keeps the messages it answered."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.sent = []

    def send(self, request, timeout_s):
        self.sent.append(request)
        return super().send(request, timeout_s)


def locate(features):
    return client_doors.position_tensors(features)


def sums(a, b, offset=None):
    return {"sum": a + b if offset is None else a + b + offset}


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


@pytest.fixture
def transport():
    return Recorded(
        {"locate": locate, "sums": sums},
        inputs={"features": "FP32 [3]", "a": "FP32 [2]", "b": "INT32 [2]"},
        max_batch_size=4,
    )


def numbered(rows):
    return np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)


def test_one_row_gives_one_fix(door, transport):
    fix = door("locate", [1.0, 2.0, 3.0], client={"transport": transport})

    assert isinstance(fix, Fix)
    assert (fix.latitude, fix.longitude, fix.release) == (1.0, 2.0, 7)
    assert fix.ellipse(0.9).semi_major_m == 4.0


@pytest.mark.parametrize(
    ("rows", "group"), [(1, "lower"), (1, ["lower"]), (2, ["lower", "upper"]), (2, [["lower"], ["upper"]])], ids=str
)
def test_one_value_a_row_needs_no_axis_of_its_own(door, rows, group):
    """A group is a word: one for a row, a list of them for a batch."""
    told = Recorded(
        {"told": lambda features, group: {"said": group}},
        inputs={"features": "FP32 [3]", "group": "BYTES [1]"},
        max_batch_size=4,
    )
    given = [1.0, 2.0, 3.0] if rows == 1 else numbered(rows)

    answer = door("told", client={"transport": told}, features=given, group=group)

    assert np.ravel(answer["said"]).tolist() == [b"lower", b"upper"][:rows]


def test_a_batch_gives_a_list_in_the_order_of_its_rows(door, transport):
    fixes = door("locate", numbered(11), client={"transport": transport})

    assert [fix.latitude for fix in fixes] == [3.0 * row for row in range(11)]


def test_a_batch_of_one_row_gives_a_list_of_one(door, transport):
    (fix,) = door("locate", numbered(1), client={"transport": transport})

    assert isinstance(fix, Fix)


def test_no_request_carries_more_rows_than_the_server_takes(door, transport):
    door("locate", numbered(11), client={"transport": transport})

    parts = [request for request in transport.sent if isinstance(request, ModelInfer)]
    assert sorted(len(part.inputs["features"]) for part in parts) == [3, 4, 4]


def test_an_empty_batch_gives_an_empty_list(door, transport):
    assert door("locate", np.empty((0, 3)), client={"transport": transport}) == []


def test_an_answer_of_no_known_kind_is_arrays_by_name(door, transport):
    batch = door("sums", a=np.ones((2, 2)), b=np.ones((2, 2), int), client={"transport": transport})
    single = door("sums", a=np.ones(2), b=np.ones(2, int), client={"transport": transport})

    assert batch["sum"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert single["sum"].tolist() == [2.0, 2.0]


def test_raw_tensors_keep_their_rows_even_for_one(door, transport):
    tensors = door("locate", np.zeros(3), client={"transport": transport}, method="tensors")

    assert tensors["position"].shape == (1, 2)


def test_an_optional_input_may_be_left_out_or_given(door, transport):
    pair = {"a": np.ones(2), "b": np.ones(2, int)}

    without = door("sums", **pair, client={"transport": transport})
    given = door("sums", **pair, offset=np.array([10.0, 20.0]), client={"transport": transport})

    assert (without["sum"].tolist(), given["sum"].tolist()) == ([2.0, 2.0], [12.0, 22.0])


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (np.zeros(4), r"features: expected FP32 \[3\].*, got FP32 \[4\]"),
        (np.zeros((2, 4)), r"features: expected FP32 \[3\].*, got FP32 \[2, 4\]"),
        (np.zeros((2, 2, 3)), r"features: expected FP32 \[3\].*, got FP32 \[2, 2, 3\]"),
        (1.0, r"features: expected FP32 \[3\].*, got FP32 \[\]"),
        (["1", "2", "3"], r"features: expected FP32 \[3\], got BYTES \[3\]"),
        (np.array([1, 2, None]), r"features: expected FP32 \[3\], got BYTES \[3\]"),
        (np.array([1j, 2, 3]), r"features: expected FP32 \[3\], got complex128 \[3\]"),
        ([[1, 2, 3], [1, 2]], r"features: expected FP32 \[3\], got rows of unequal length"),
    ],
    ids=["width", "width_of_a_batch", "rank", "scalar", "text", "objects", "complex", "ragged"],
)
def test_arrays_of_the_wrong_form_are_refused_before_they_are_sent(door, transport, features, sentence):
    with pytest.raises(errors.RequestRefused, match=sentence):
        door("locate", features, client={"transport": transport})

    assert not [request for request in transport.sent if isinstance(request, ModelInfer)]


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"a": [1, 1], "c": [1, 1]}, r"c: expected one of sums\(a=FP32 \[2\], b=INT32 \[2\].*no such tensor"),
        ({"a": [1, 1], "b": [1, 1], "ofset": [1]}, "did you mean 'offset'"),
        ({"a": [1, 1]}, r"b: expected INT32 \[2\], got nothing"),
        ({"a": np.ones((2, 2)), "b": np.ones((3, 2), int)}, "expected as many rows in every tensor"),
        ({"a": [1, 1], "b": [1.5, 1.0]}, r"b: expected INT32 \[2\], got FP64 \[2\]"),
        ({"a": [1, 1], "b": [2**40, 1]}, r"b: expected INT32 \[2\], got int64 values beyond its range"),
    ],
    ids=["unknown", "misspelt", "missing", "row_counts", "fractions", "overflow"],
)
def test_tensors_by_name_are_checked_by_name(door, transport, tensors, sentence):
    with pytest.raises(errors.RequestRefused, match=sentence):
        door("sums", **tensors, client={"transport": transport})


@pytest.mark.parametrize(
    ("name", "features", "tensors"),
    [
        ("sums", [[1, 1]], {}),
        ("locate", [[1, 1, 1]] * 2, {}),
        ("locate", [[1, 1, 1]], {"features": [1, 1, 1]}),
    ],
    ids=["of_several_inputs", "one_too_many", "given_twice"],
)
def test_an_input_that_could_be_any_must_be_named(door, transport, name, features, tensors):
    with pytest.raises(errors.RequestRefused, match=rf"expected tensors by name, {name}\("):
        door(name, *features, **tensors, client={"transport": transport})


def test_the_only_input_that_is_not_named_needs_no_name(door, transport):
    assert door("sums", [1, 1], b=[2, 2], client={"transport": transport})["sum"].tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, np.bool_])
def test_numbers_are_cast_to_the_declared_type(door, transport, dtype):
    door("locate", np.ones(3, dtype), client={"transport": transport})

    assert transport.sent[-1].inputs["features"].dtype == np.float32


def test_a_slice_with_gaps_is_sent_as_its_values(door, transport):
    fixes = door("locate", numbered(8)[::2], client={"transport": transport})

    assert [fix.latitude for fix in fixes] == [0.0, 6.0, 12.0, 18.0]


def test_the_contract_is_read_once(transport):
    with Client(transport=transport) as client:
        for _ in range(3):
            client.pipeline("locate")(np.zeros(3))

    kinds = [type(request) for request in transport.sent]
    assert kinds == [ModelMetadata, ModelConfig, ModelInfer, ModelInfer, ModelInfer]


def test_the_contract_is_read_again_after_the_server_refused():
    facts = SimpleNamespace(broken=True)

    def moody(x):
        if facts.broken:
            raise errors.InputRefused("x", "another width", "this one")
        return {"y": x}

    transport = Recorded(moody, inputs={"x": "FP32 [1]"})
    client = Client(transport=transport)

    with pytest.raises(errors.RequestRefused, match="x: expected another width, got this one"):
        client.pipeline("moody")([1.0])
    facts.broken = False
    client.pipeline("moody")([1.0])

    assert [type(request) for request in transport.sent].count(ModelMetadata) == 2


def test_a_closed_configuration_leaves_batches_whole(door):
    class Closed(Recorded):
        def send(self, request, timeout_s):
            if isinstance(request, ModelConfig):
                raise errors.AccessDenied("This API is restricted")
            return super().send(request, timeout_s)

    transport = Closed(locate, inputs={"features": "FP32 [3]"}, max_batch_size=4)

    fixes = door("locate", numbered(11), client={"transport": transport})

    assert len(fixes) == 11
    assert len(transport.sent[-1].inputs["features"]) == 11


def test_a_model_without_batches_is_asked_with_the_whole_array(door):
    transport = Recorded(lambda x: {"y": x}, inputs={"x": "FP32 [-1]"}, max_batch_size=0)

    answer = door("<lambda>", np.arange(5), client={"transport": transport})

    assert answer["y"].tolist() == [0, 1, 2, 3, 4]


def test_the_deadline_holds_for_all_parts_together(door):
    def slow(x):
        threading.Event().wait(0.1)
        return {"y": x}

    transport = Recorded(slow, inputs={"x": "FP32 [1]"}, max_batch_size=1)
    started = time.monotonic()

    with pytest.raises(errors.DeadlineExceeded, match=r"'slow' did not answer in the .* s it had"):
        door("slow", np.zeros((100, 1)), timeout_s=0.3, client={"transport": transport})

    assert time.monotonic() - started < 2.0


def test_the_clients_own_deadline_holds_where_a_call_names_none(door):
    transport = Recorded(lambda x: {"y": x}, inputs={"x": "FP32 [1]"})

    with pytest.raises(errors.DeadlineExceeded):
        door("<lambda>", [1.0], client={"transport": transport, "timeout_s": 1e-9})


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_positive_number_of_seconds(door, transport, timeout_s):
    with pytest.raises(ValueError, match="timeout_s: expected a positive number"):
        door("locate", [1, 2, 3], timeout_s=timeout_s, client={"transport": transport})


def test_one_failed_part_fails_the_call_and_what_was_not_sent_stays_unsent(door):
    def fragile(x):
        if x[0, 0] == 2:
            raise errors.ServerBusy("its queue is full")
        threading.Event().wait(0.02)
        return {"y": x}

    transport = Recorded(fragile, inputs={"x": "FP32 [1]"}, max_batch_size=1)

    with pytest.raises(errors.ServerBusy, match="its queue is full"):
        door("fragile", np.arange(1000.0)[:, None], client={"transport": transport})

    assert len(transport.sent) < 100


def test_what_a_function_raises_comes_out_as_a_failed_model(door):
    def broken(x):
        return {"y": x / "2"}

    with pytest.raises(errors.ModelFailed, match=r"broken: .*TypeError"):
        door("broken", [1.0], client={"transport": InMemoryTransport(broken)})


def test_an_unknown_pipeline_is_not_ready(door, transport):
    with pytest.raises(errors.ModelNotReady, match="'lokate' is not found"):
        door("lokate", [1.0], client={"transport": transport})


def test_an_input_that_is_no_type_and_shape_is_refused_in_the_test_itself(door):
    transport = InMemoryTransport(locate, inputs={"features": "float[3]"})

    with pytest.raises(ValueError, match=r"inputs\['features'\]: expected a type"):
        door("locate", [1.0], client={"transport": transport})


def test_a_server_that_is_up_is_ready(transport):
    assert Client(transport=transport).is_ready()


@pytest.mark.parametrize("error", [errors.ServerUnreachable, errors.RequestRefused, errors.DeadlineExceeded])
def test_a_server_that_is_away_or_not_up_yet_is_not_ready(error):
    class Away(InMemoryTransport):
        def send(self, request, timeout_s):
            raise error("not now")

    assert not Client(transport=Away({})).is_ready()


def test_a_pipeline_is_the_same_object_however_often_it_is_named(transport):
    client, other = Client(transport=transport), AsyncClient(transport=transport)

    assert client.pipeline("locate") is client.pipeline("locate")
    assert other.pipeline("locate") is other.pipeline("locate")
