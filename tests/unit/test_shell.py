from __future__ import annotations

import numpy as np
import pytest

import fake_pb_utils
from block_doors import FUSE, fused, members, shell
from sextant.backend import Shell
from sextant.blocks import Scale
from sextant.errors import ParametersError
from sextant.tensors import Tensor

SCALE = {"width": 3, "offset": 1}


def ask(served, *requests):
    return served.respond([fake_pb_utils.InferenceRequest(tensors) for tensors in requests])


def rows(value, count=1, width=3):
    return {"features": np.full((count, width), value, np.float32)}


def test_each_request_of_a_batch_gets_its_own_rows(tmp_path):
    responses = ask(shell(tmp_path, "scale", SCALE), rows(1, 2), rows(5, 1), rows(7, 3))

    answers = [response.arrays()["scaled"] for response in responses]
    assert [answer.shape for answer in answers] == [(2, 3), (1, 3), (3, 3)]
    assert [answer[0, 0] for answer in answers] == [2, 6, 8]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_request_never_fails_its_batch_mates(tmp_path, place):
    requests = [rows(1), rows(5), rows(7)]
    requests[place] = rows(np.nan)

    responses = ask(shell(tmp_path, "scale", SCALE), *requests)

    assert [response.error is not None for response in responses] == [index == place for index in range(3)]
    assert "row 0, column 0" in responses[place].error.message()
    assert responses[place].error.code() == fake_pb_utils.TritonError.INVALID_ARG


def test_requests_of_unlike_shape_are_not_forced_together(tmp_path):
    responses = ask(shell(tmp_path, "scale", SCALE), rows(1), rows(5, width=4), rows(7))

    assert [response.error is None for response in responses] == [True, False, True]
    assert "[1, 4]" in responses[1].error.message()
    assert responses[2].arrays()["scaled"].tolist() == [[8, 8, 8]]


def test_an_optional_tensor_may_come_with_one_request_and_not_with_another(tmp_path):
    plain = members([0, 0], [0, 0], [0, 0])
    own = {**plain, "covariance_0": np.array([[[700, 0], [0, 0]]], np.float32)}

    responses = ask(shell(tmp_path, "fuse", FUSE), plain, own, plain)

    spreads = [response.arrays()["fused_covariance"][0, 0, 0] for response in responses]
    assert spreads == pytest.approx([725 / 3, (700 + 625) / 3, 725 / 3])


def test_a_tensor_that_must_come_is_asked_for_by_name(tmp_path):
    tensors = fused()
    del tensors["fused_covariance"]

    (response,) = ask(shell(tmp_path, "ellipse", {"confidence_levels": [0.9], "release": 1}), tensors)

    assert response.error.message() == "fused_covariance: expected a tensor, got none"


def test_one_request_alone_is_not_copied(tmp_path):
    class Mirror:
        inputs = outputs = (Tensor("features", "FP32", (-1,)),)

        def __init__(self, parameters):
            pass

        def __call__(self, features):
            return {"features": features}

    tensors = rows(1)
    (response,) = ask(shell(tmp_path, Mirror, {}), tensors)

    assert response.arrays()["features"] is tensors["features"]


def test_a_bug_of_ours_is_no_refusal_and_fails_nobody_else(tmp_path):
    class Broken:
        inputs = outputs = (Tensor("features", "FP32", (-1,)),)

        def __init__(self, parameters):
            pass

        def __call__(self, features):
            if features.max() > 5:
                raise ZeroDivisionError("ours")
            return {"features": features}

    fine, broken = ask(shell(tmp_path, Broken, {}), rows(1), rows(7))

    assert fine.arrays()["features"].tolist() == [[1, 1, 1]]
    assert broken.error.code() == fake_pb_utils.TritonError.INTERNAL
    assert "ZeroDivisionError('ours')" in broken.error.message()
    assert "Traceback" in fake_pb_utils.Logger.lines[-1]


@pytest.mark.parametrize(
    ("text", "said"), [(None, "No such file"), ("{", "Expecting"), ("[1]", "expected an object, got list")]
)
def test_parameters_that_cannot_be_read_stop_the_load(tmp_path, text, said):
    shell(tmp_path, "scale", SCALE)
    page = tmp_path / "1" / "parameters.json"
    page.unlink()
    if text is not None:
        page.write_text(text, encoding="utf-8")
    args = {"model_name": "scale", "model_repository": str(tmp_path), "model_version": "1"}

    with pytest.raises(ParametersError, match=said):
        Shell(fake_pb_utils, args, Scale)


def test_no_requests_no_responses(tmp_path):
    assert ask(shell(tmp_path, "scale", SCALE)) == []
