"""What a model was logged with, held against the Python that runs."""

from __future__ import annotations

import pytest

from sextant.environment import Wanted, difference

THERE = {"scikit-learn": "1.8.2", "numpy": "2.1.0", "torch": "2.13.0+cpu", "mlflow-skinny": "3.17.2"}


def said(*requirements, python=None):
    return difference(Wanted(requirements=requirements, python=python), THERE.__getitem__, "3.11.7")


@pytest.mark.parametrize(
    "line",
    [
        "numpy==2.1.0",
        "numpy>=1.26,<3",
        "numpy",
        "torch==2.13.0",
        "mlflow==3.17.2",
        "foo==1; sys_platform == 'nowhere'",
        "scikit-learn==1.*",
    ],
)
def test_what_is_there_is_no_difference(line):
    assert not str(said(line))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("foo==1.2", "missing: foo==1.2 (not installed)"),
        ("scikit-learn==2.0.1", "scikit-learn==2.0.1 wanted, 1.8.2 there"),
        ("numpy<2", "numpy<2 wanted, 2.1.0 there"),
        ("numpy~=1.26", "numpy~=1.26 wanted, 2.1.0 there"),
        ("torch>=3.0", "torch>=3.0 wanted, 2.13.0+cpu there"),
    ],
)
def test_a_missing_package_or_another_major_version_refuses_the_load(line, sentence):
    assert (said(line).refusal, said(line).remark) == (sentence, "")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("scikit-learn==1.9", "scikit-learn==1.9 wanted, 1.8.2 there"),
        ("numpy<2.1", "numpy<2.1 wanted, 2.1.0 there"),
        ("numpy!=2.1.0", "numpy!=2.1.0 wanted, 2.1.0 there"),
        ("git+https://example.org/x.git", "not checked: git+https://example.org/x.git"),
    ],
)
def test_another_minor_version_is_remarked(line, sentence):
    assert (said(line).refusal, said(line).remark) == ("", sentence)


def test_everything_stands_in_one_sentence():
    found = said("foo==1.2", "bar", "numpy==1.26", "scikit-learn==1.9", python="3.12.1")

    assert str(found) == (
        "missing: foo==1.2 (not installed), bar (not installed); numpy==1.26 wanted, 2.1.0 there; "
        "scikit-learn==1.9 wanted, 1.8.2 there; logged with Python 3.12.1, 3.11.7 here"
    )


def test_a_patch_of_python_is_no_difference():
    assert said(python="3.11.2").python is None


def test_requirements_are_read_without_comments_options_and_hashes(tmp_path):
    text = "# all\n-c constraints.txt\nfoo==1.2 --hash=sha256:00 \\\n  --hash=sha256:11\nbar>=2 # why\n\n"
    (tmp_path / "requirements.txt").write_text(text)
    (tmp_path / "python_env.yaml").write_text("python: 3.12.1\ndependencies:\n- -r requirements.txt\n")

    assert Wanted.of(tmp_path) == Wanted(requirements=("foo==1.2", "bar>=2"), python="3.12.1")


def test_a_conda_page_says_the_same_where_it_is_all_there_is(tmp_path):
    page = "dependencies:\n- python=3.10.4\n- pip<=23\n- numpy=1.26=py310\n- scipy>=1.11\n- pip:\n  - mlflow==3.17.2\n"
    (tmp_path / "conda.yaml").write_text(page)

    assert Wanted.of(tmp_path) == Wanted(requirements=("numpy==1.26", "scipy>=1.11", "mlflow==3.17.2"), python="3.10.4")


def test_a_model_that_says_nothing_wants_nothing(tmp_path):
    assert Wanted.of(tmp_path) == Wanted()
    assert not str(difference(Wanted()))
