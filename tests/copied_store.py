"""A store with one model and its front, and a copy of it that is looked at from outside."""

from __future__ import annotations

from pathlib import Path

import fsspec
from onnx import TensorProto, helper

from embedded_models import graph
from sextant.tensors import Tensor
from sextant_export.config import Configs, ensemble_config, onnx_config, read_config
from sextant_export.pipeline import Serving
from sextant_export.store import Candidate
from sextant_export.wiring import EnsembleStep
from sextant_promote.copies import StoreCopy

X, Y = Tensor("x", "FP32", (2,)), Tensor("y", "FP32", (2,))
NAME = "times"


def times(factor):
    """A graph whose *y* is *factor* times its *x*."""
    tensors = [(TensorProto.FLOAT, ("rows", 2))]
    weight = helper.make_tensor("factor", TensorProto.FLOAT, [1], [float(factor)])
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    return graph(nodes, {"x": tensors[0]}, {"y": tensors[0]}, [weight]).SerializeToString()


def publish(store, version, *, twin=False, name=NAME):
    """A *version* of the model that multiplies by it."""
    config = onnx_config(name, [X], [Y], Serving(max_batch_size=8, max_queue_delay_us=0), [version])

    def write(directory):
        (directory / "model.onnx").write_bytes(times(version))
        (directory / "labels.txt").write_text("one\ntwo\n")

    store.publish(
        Candidate(model=name, version=version, configs=Configs(config, config if twin else None), write=write)
    )


def wire(store, version):
    """The front, wired to *version*."""
    step = EnsembleStep(NAME, version, {"x": "x"}, {"y": "y"})
    store.write_ensemble(ensemble_config("front", version, [step], [X], [Y], 8))


def everything(store):
    """The files of all models in the *store*, by their names."""
    return sorted(str(path.relative_to(store.models)) for path in store.models.rglob("*") if path.is_file())


class Here:
    """A copy, and a way to its files that the copy knows nothing of."""

    def __init__(self, url):
        self.url, self.copy = url, StoreCopy(url)
        self.fs, self.root = fsspec.core.url_to_fs(url, skip_instance_cache=True)

    def files(self):
        """All of them, by their names seen from the copy."""
        self.fs.invalidate_cache()
        return sorted(path.removeprefix(f"{self.root}/") for path in self.fs.find(self.root))

    def models(self):
        """Those of its models, by their names in the repository."""
        return [path.removeprefix("models/") for path in self.files() if path.startswith("models/")]

    def read(self, name):
        """What the file *name* of the repository holds."""
        self.fs.invalidate_cache()
        return self.fs.cat_file(f"{self.root}/models/{name}")

    def write(self, name, content):
        """Make *content* the file *name* of the repository."""
        path = f"{self.root}/models/{name}"
        if self.url.startswith("file:"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.fs.pipe_file(path, content)

    def require_loadable(self, store, folder):
        """Whatever a configuration there names is there, whole; on a disk no model is without one."""
        files = self.models()
        for name in (name for name in files if name.endswith(".pbtxt")):
            (folder / "config.pbtxt").write_bytes(self.read(name))
            config = read_config(folder / "config.pbtxt")
            versions = config.version_policy.specific.versions or [1]
            named = tuple(f"{config.name}/{version}/" for version in versions)
            assert {path for path in everything(store) if path.startswith(named)} <= {*files}
        if self.url.startswith("file:"):
            configured = {name.removesuffix("/config.pbtxt") for name in files if name.count("/") == 1}
            assert {name.partition("/")[0] for name in files} <= configured
