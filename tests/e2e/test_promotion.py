"""From the registry to what is served: promoted, rolled back, and never anything in between."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from embedded_calls import posted
from sextant.errors import ModelNotReady, PromoteError, SextantError
from sextant.scores import evaluate
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt, releases
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e


def test_a_promoted_pipeline_answers_with_ellipses_that_hold_the_truth(stage):
    """The main job: fixes near the truth, and a share inside each ellipse close to its level."""
    done = stage.promote()
    unseen = draw(400, seed=9)

    scores = evaluate(stage.ask(unseen.features), unseen.truth)

    assert (done.release, done.changed, done.replaced) == (1, True, None)
    assert scores.median_error_m < 15
    assert all(abs(share - level) < 0.06 for level, share in scores.coverage.items())


def test_the_answer_says_which_release_gave_it(served):
    """And that its ellipses were calibrated, by how many members."""
    fix = served.ask(draw(1, seed=9).features[0])

    assert (fix.release, fix.calibrated, fix.members_used) == (1, True, 3)


def test_promoting_twice_changes_nothing(served):
    """The same inputs are the same release."""
    before = {path: path.stat().st_mtime_ns for path in served.store.models.rglob("config.pbtxt")}

    again = served.promote()

    assert (again.release, again.changed) == (1, False)
    assert {path: path.stat().st_mtime_ns for path in served.store.models.rglob("config.pbtxt")} == before


def test_a_moved_alias_is_a_new_release_and_the_old_one_is_a_rollback_away(served):
    """r2 by the new member, then r1 again, each answering as its own members do."""
    row = draw(1, seed=9).features[0]
    first = served.ask(row)
    served.new_ridge(alpha=50.0)

    second_done = served.promote()
    second = served.ask(row)
    back = served.rollback()
    third = served.ask(row)

    assert (second_done.release, second_done.replaced) == (2, 1)
    assert (first.release, second.release, third.release) == (1, 2, 1)
    assert first.latitude != second.latitude
    assert first == third
    assert (back.release, back.replaced) == (1, 2)


def test_promoting_after_a_rollback_flips_to_the_release_there_is(moved):
    """Nothing is exported again."""
    moved.rollback()

    again = moved.promote()

    assert (again.release, again.changed) == (2, True)
    assert releases(moved.store, "locate") == [1, 2]


def test_only_the_serving_release_and_the_one_before_stay_loaded(moved):
    """Older ones keep their versions on disk and their receipt, and come back when asked for by number."""
    for alpha in (30.0, 40.0):
        moved.new_ridge(alpha)
        moved.promote()

    kept = [name for name in moved.models() if ".r" in name]
    back = moved.rollback(to=1)

    assert kept == ["locate.r3", "locate.r4"]
    assert back.release == 1
    assert moved.ask(draw(1, seed=9).features[0]).release == 1


def test_no_request_fails_while_releases_change(moved):
    """Four callers ask without a pause through ten promotions and rollbacks."""
    stopped, failures, seen = threading.Event(), [], set()

    def call():
        row = draw(1, seed=9).features[0]
        with Client(moved.triton.address.grpc) as client:
            while not stopped.is_set():
                try:
                    seen.add(client.pipeline("locate")(row).release)
                except SextantError as error:  # noqa: PERF203  each call is counted
                    failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(5):
        moved.rollback()
        moved.promote()
    stopped.set()
    for caller in callers:
        caller.join()

    assert failures == []
    assert seen == {1, 2}


def test_a_restarted_server_serves_what_was_promoted(served):
    """The front is in the store; nothing is remembered elsewhere."""
    row = draw(1, seed=9).features[0]
    before = served.ask(row)
    served.triton.stop()

    with EmbeddedTriton(served.store.root) as triton, Client(triton.address.grpc) as client:
        after = client.pipeline("locate")(row)

    assert after == before


def test_three_doors_give_the_same_numbers(served):
    """The SDK over gRPC and HTTP, raw tritonclient, and plain JSON over HTTP."""
    import tritonclient.grpc as raw

    row = draw(1, seed=9).features
    address = served.triton.address

    with Client(address.grpc) as one, Client(address.http) as other:
        sdk, sdk_http = one.pipeline("locate").tensors(row), other.pipeline("locate").tensors(row)
    tensor = raw.InferInput("features", row.shape, "FP32")
    tensor.set_data_from_numpy(row)
    plain = raw.InferenceServerClient(address.grpc.removeprefix("grpc://")).infer("locate", [tensor])
    curled = posted(address.http, "locate", {"features": row})

    assert sdk.keys() == curled.keys()
    for name, array in sdk.items():
        np.testing.assert_array_equal(array, sdk_http[name])
        np.testing.assert_array_equal(array, plain.as_numpy(name))
        if array.dtype == object:  # JSON has text, and no bytes
            assert [text.decode() for text in array.ravel()] == curled[name].ravel().tolist()
        else:
            np.testing.assert_allclose(array, curled[name], rtol=1e-12)


def test_what_is_served_is_what_the_flavours_answer(served):
    """Each member through Triton against scikit-learn's own predict."""
    proof = read_receipt(served.store, "locate", 1).proof

    deltas = {name: fact["max_abs_delta"] for name, fact in proof.items()}

    assert deltas.keys() == {"ridge", "forest", "knn"}
    assert max(deltas.values()) < 1e-3


def test_an_empty_store_has_nothing_to_roll_back_to(stage):
    with pytest.raises(ModelNotReady, match="was never promoted from"):
        stage.rollback()


def test_there_is_nothing_before_the_first_release(served):
    with pytest.raises(PromoteError, match="r1 is the first release"):
        served.rollback()


def test_an_alias_moved_back_can_be_rolled_forward(moved):
    """A rollback goes to what the serving release replaced, whatever their numbers."""
    from mlflow import MlflowClient

    registry = MlflowClient(moved.world.registry.tracking_uri)
    registry.set_registered_model_alias("ridge", "champion", "1")

    back = moved.promote()
    forward = moved.rollback()

    assert (back.release, back.replaced) == (1, 2)
    assert forward.release == 2


def test_small_batches_are_proven_too(stage):
    """The proof through Triton keeps to the pipeline's own batch size."""
    done = stage.promote(stage.world.write_spec({"serving": {"max_batch_size": 16}}))

    assert done.changed


def test_members_in_another_order_are_another_release(served):
    """Weights go by place."""
    members = load_pipeline(served.world.spec).spec["members"]

    done = served.promote(served.world.write_spec({"members": dict(reversed(members.items()))}))

    assert (done.release, done.changed) == (2, True)


def test_two_versions_of_one_model_may_vote_together(moved):
    """Version 1 beside version 2, each proven as itself."""
    members = {"old": "models:/ridge/1", "new": "models:/ridge/2", "knn": "models:/knn@champion"}

    done = moved.promote(moved.world.write_spec({"members": members}))

    assert done.receipt.proof.keys() == {"old", "new", "knn"}
    assert moved.ask(draw(1, seed=9).features[0]).members_used == 3


def test_a_rollback_brings_back_how_the_release_was_served(served):
    """Triton keeps one configuration for all versions of a model, and the release after had changed it."""
    served.promote(served.world.write_spec({"serving": {"instances": 2, "max_queue_delay_us": 300}}))
    twice = served.loaded("ridge")

    served.rollback()

    assert (twice.instance_group[0].count, twice.dynamic_batching.max_queue_delay_microseconds) == (2, 300)
    once = served.loaded("ridge")
    assert (once.instance_group[0].count, once.dynamic_batching.max_queue_delay_microseconds) == (1, 0)


def test_promoting_an_earlier_page_again_brings_back_how_it_was_served(served):
    served.promote(served.world.write_spec({"serving": {"instances": 2}}))

    again = served.promote(served.world.write_spec())

    assert again.release == 1
    assert served.loaded("ridge").instance_group[0].count == 1


def test_a_model_may_be_named_like_its_pipeline(stage):
    """The name is the front's, so the model stands beside it."""
    done = stage.promote(stage.world.write_spec({"name": "ridge"}))

    assert done.receipt.members["ridge"]["model"] == "ridge.model"
    assert stage.store.config("ridge").platform == "ensemble"
