"""A setting is changed for one that is better than noise could make it look, and for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sextant.errors import DeadlineExceeded, LoadFailed, LoadTestError
from sextant_export.pipeline import Serving
from sextant_loadtest.figures import Figures, Samples
from sextant_loadtest.load import LoadPlan, Outcome
from sextant_loadtest.tuning.axes import along, changes
from sextant_loadtest.tuning.bench import ROUNDS, Bench
from sextant_loadtest.tuning.choice import Trial, chosen
from sextant_loadtest.tuning.search import effort, search
from sextant_loadtest.tuning.table import table

pytestmark = pytest.mark.models

NOW, TWO, FOUR = Serving(), Serving(instances=2), Serving(instances=4)


def trial(setting, rates, *, p95_ms=None, failed=0):
    """A trial with these *rates*, and times that go with them where none are given."""
    times = p95_ms if p95_ms is not None else [1e4 / rate for rate in rates]
    return Trial(setting=setting, throughput_rps=tuple(rates), p95_ms=tuple(times), failed=failed)


PRESENT = trial(NOW, [100, 103, 98, 101, 99])


def test_a_setting_that_is_better_in_every_round_is_taken():
    assert chosen([PRESENT, trial(TWO, [150, 149, 155, 152, 147])]).setting == TWO


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ([180, 60, 190, 55, 130], "better on average, and all noise"),
        ([101, 104, 99, 102, 100], "certainly better, by nothing worth a change"),
        ([90, 91, 89, 92, 90], "worse"),
    ],
)
def test_the_present_setting_stays_where_another_is_not_certainly_better(rates, why):
    assert chosen([PRESENT, trial(TWO, rates)]).setting == NOW, why


def test_of_two_that_cannot_be_told_apart_the_simpler_is_taken():
    better = trial(FOUR, [152, 150, 149, 153, 151])
    simpler = trial(TWO, [150, 151, 150, 151, 150])

    assert chosen([PRESENT, better, simpler]).setting == TWO


def test_the_better_one_is_taken_where_it_can_be_told():
    assert chosen([PRESENT, trial(TWO, [150, 151, 150, 151, 150]), trial(FOUR, [200] * 5)]).setting == FOUR


def test_what_moves_all_settings_at_once_is_no_noise():
    """Rounds differ twofold, and within each round the one is a tenth better."""
    tide = np.array([100, 200, 50, 120, 80])

    assert chosen([trial(NOW, tide), trial(TWO, 1.1 * tide)]).setting == TWO


def test_more_answers_are_not_bought_with_slow_ones():
    """Twice the throughput, and the slowest twentieth waits five times as long."""
    slow = trial(TWO, [200] * 5, p95_ms=[500] * 5)

    assert chosen([PRESENT, slow]).setting == NOW
    assert chosen([PRESENT, replace(slow, p95_ms=(105,) * 5)]).setting == TWO


def test_by_p95_the_quicker_answer_wins_unless_it_costs_throughput():
    quick = trial(TWO, [99] * 5, p95_ms=[50] * 5)

    assert chosen([PRESENT, quick], "p95").setting == TWO
    assert chosen([PRESENT, replace(quick, throughput_rps=(60,) * 5)], "p95").setting == NOW


def test_a_setting_that_failed_a_request_is_never_taken():
    assert chosen([PRESENT, trial(TWO, [200] * 5, failed=1)]).setting == NOW


def test_the_present_setting_is_compared_with_and_no_setting_twice():
    found = along("batching", Serving(max_queue_delay_us=500), cores=2)

    assert [(s.dynamic_batching, s.max_queue_delay_us) for s in found] == [
        (True, 500),
        (False, 500),
        (True, 0),
        (True, 100),
        (True, 2000),
    ]


def test_threads_are_not_tried_by_the_dozen_beside_many_instances():
    assert [s.intra_op_thread_count for s in along("threads", Serving(instances=8), cores=8)] == [1, 2]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"instances": 2}, {"instances": 2}),
        ({}, {"dynamic_batching": False}, {"dynamic_batching": False, "max_queue_delay_us": None}),
        (
            {"dynamic_batching": False},
            {"max_queue_delay_us": 100},
            {"dynamic_batching": True, "max_queue_delay_us": 100},
        ),
        ({"dynamic_batching": False}, {"dynamic_batching": False, "instances": 2}, {"instances": 2}),
    ],
)
def test_only_what_differs_is_changed(before, after, said):
    assert changes(Serving(**before), Serving(**after)) == said


class Machine:
    """A machine of two cores on which two instances, and no batches, are best; it tells what it was asked."""

    url = "grpc://127.0.0.1:1"

    def __init__(self, *, noise=0.02, refuses=()):
        self.random, self.noise, self.refuses = np.random.default_rng(5), noise, refuses
        self.loaded, self.asked = set(), []

    def load(self, setting):
        if setting in self.refuses:
            raise LoadFailed("no memory")
        self.loaded.add(setting)
        return f"{setting.instances} {setting.intra_op_thread_count} {setting.dynamic_batching}"

    def unload(self, setting):
        self.loaded.discard(setting)

    def measure(self, plan, _inputs):
        instances, threads, joined = plan.pipeline.split()
        self.asked.append(plan.pipeline)
        rate = 1000 * min(int(instances), 2) / int(threads) ** 0.5 * (1.3 if joined == "False" else 1)
        rate *= np.exp(self.noise * self.random.standard_normal())
        total = Figures.of(Samples.of([(0.0, 1e5 / rate, "")] * 10), 10 / rate)
        return Outcome(plan=plan, began="", seconds=1.0, ended="done", total=total, by_class={}, sentences={})

    def bench(self, **facts):
        plan = LoadPlan(pipeline="p", urls=(self.url,), duration_s=1.0)
        return Bench(
            **{"serves": self, "inputs": {}, "plan": plan, "objective": "throughput", "measure": self.measure}
            | {"tell": lambda *_: None, "slices": effort(NOW, 2, 0.0).slices}
            | facts
        )


def test_the_search_finds_the_best_setting_and_confirms_it():
    machine = Machine()

    tuned = search(machine.bench(), NOW, cores=2)

    assert tuned.changes == {"instances": 2, "dynamic_batching": False, "max_queue_delay_us": None}
    assert tuned.gain.at_least > 1
    assert [comparison.axis for comparison in tuned.comparisons][-1] == "now and best"
    assert len(machine.loaded) == 1
    assert len(machine.asked) <= effort(NOW, 2, 0.0).slices


def test_on_a_machine_that_is_all_noise_nothing_is_changed():
    """Of twenty such searches, each with eight chances to be fooled, all keep what there is."""
    level = [Machine(noise=0.4) for _ in range(20)]
    for seed, machine in enumerate(level):
        machine.random = np.random.default_rng(seed)

    def even(machine):
        return lambda plan, inputs: machine.measure(replace(plan, pipeline="1 1 True"), inputs)

    found = [search(machine.bench(measure=even(machine)), NOW, cores=2) for machine in level]

    assert [tuned.changes for tuned in found] == [{}] * 20


def test_what_does_not_load_is_said_and_the_rest_is_measured():
    machine = Machine(refuses=[TWO])

    tuned = search(machine.bench(), NOW, cores=2)

    assert tuned.after == Serving(dynamic_batching=False)
    assert "not measured: 2 instances of 1 thread, batches after 500 us: no memory" in table(tuned)


def test_a_best_setting_that_does_not_answer_when_it_is_to_be_confirmed_is_not_taken():
    machine, told = Machine(), []

    def measure(plan, inputs):
        if told[-1].startswith("now and best") and plan.pipeline != "1 1 True":
            raise DeadlineExceeded("no answer in 10 s")
        return machine.measure(plan, inputs)

    tuned = search(machine.bench(measure=measure, tell=lambda *said: told.append(said[-1])), NOW, cores=2)

    assert (tuned.changes, tuned.gain) == ({}, None)
    assert [*tuned.refused.values()] == ["no answer in 10 s"]


def test_a_present_setting_that_does_not_load_ends_it():
    with pytest.raises(LoadFailed, match="no memory"):
        search(Machine(refuses=[NOW]).bench(), NOW, cores=2)


def test_where_time_runs_out_fewer_rounds_and_axes_are_measured_and_the_best_is_confirmed_all_the_same():
    machine = Machine()

    tuned = search(machine.bench(deadline=0.0), NOW, cores=2)
    late = Machine()
    comparison = late.bench(deadline=0.0).compare("instances", (NOW, TWO))

    assert (tuned.comparisons, tuned.changes, machine.asked) == ((), {}, [])
    assert [len(trial.p95_ms) for trial in comparison.trials] == [3, 3]
    assert ROUNDS > 3


def test_too_little_time_is_refused_with_what_it_takes():
    with pytest.raises(LoadTestError, match="44 measurements take 132 s at the least on this machine: allow so much"):
        effort(NOW, cores=2, around_s=1.0, duration_s=60)


def test_where_time_is_short_there_are_fewer_rounds():
    found = effort(NOW, cores=2, around_s=1.0, duration_s=150)

    assert (found.rounds, found.slices) == (3, 44)
    assert found.seconds == pytest.approx(150)
