"""Neural networks: PyTorch modules of several kinds, a Keras model, Transformers pipelines; seconds to train."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .configuration import Configuration, Fitted, few
from .data import bundled, utterances

EPOCHS = 30


def _torch(
    data: str, model: str, fit: Callable[[], tuple[Any, Any]], saved: str = "pickle", **facts: Any
) -> Configuration:
    def fitted() -> Fitted:
        module, example = fit()

        def log(mlflow: Any, **given: Any) -> Any:
            return mlflow.pytorch.log_model(module, serialization_format=saved, **given)

        return Fitted(log, example, _answered(module, example))

    return Configuration("pytorch", data, model, fitted, **facts)


def _answered(module: Any, example: Any) -> Any:
    import torch

    with torch.no_grad():
        if isinstance(example, dict):
            return module(**{name: torch.from_numpy(array) for name, array in example.items()}).numpy()
        return module(torch.from_numpy(example)).numpy()


def _trained(module: Any, inputs: Any, truth: Any, loss: Any) -> Any:
    """*module* after a few full-batch steps; it learns enough to be no noise."""
    import torch

    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss(module(*inputs), truth).backward()
        optimizer.step()
    return module.eval()


def _classifier(data: str, make: Callable[[], Any], shape: tuple[int, ...]) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    rows = bundled(data)
    scaled = ((rows.array - rows.array.mean(axis=0)) / (rows.array.std(axis=0) + 1)).reshape(-1, *shape)
    module = _trained(make(), [torch.from_numpy(scaled)], torch.from_numpy(rows.y), torch.nn.functional.cross_entropy)
    return module, few(scaled)


def _perceptron() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 3), nn.Softmax(dim=1))


def _convolution() -> Any:
    from torch import nn

    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def _recurrent() -> Any:
    """The rows of an image, one after the other."""
    from torch import nn

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.head = nn.GRU(8, 24, batch_first=True), nn.Linear(24, 10)

        def forward(self, rows: Any) -> Any:
            return self.head(self.memory(rows)[0][:, -1])

    return Reader()


def _attentive() -> Any:
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
            self.widen, self.head = nn.Linear(8, 16), nn.Linear(16, 10)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, rows: Any) -> Any:
            return self.head(self.encoder(self.widen(rows)).mean(dim=1))

    return Encoder()


def _two_inputs() -> tuple[Any, Any]:
    """Body measures in one tensor, blood values in another."""
    import torch
    from torch import nn

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.blood, self.head = nn.Linear(4, 16), nn.Linear(6, 16), nn.Linear(32, 1)

        def forward(self, body: Any, blood: Any) -> Any:
            return self.head(torch.relu(torch.cat([self.body(body), self.blood(blood)], dim=1)))

    torch.manual_seed(0)
    rows = bundled("diabetes")
    parts = {"body": rows.array[:, :4] * 20, "blood": rows.array[:, 4:] * 20}
    truth = torch.from_numpy((rows.y / 100).astype(np.float32))[:, None]
    module = _trained(Joined(), [torch.from_numpy(part) for part in parts.values()], truth, nn.functional.mse_loss)
    return module, {name: few(part) for name, part in parts.items()}


def _keras() -> Fitted:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(0)
    rows = bundled("wine")
    layers = [keras.layers.Normalization(), keras.layers.Dense(32, activation="gelu")]
    layers[0].adapt(rows.array)
    model = keras.Sequential([keras.Input((13,)), *layers, keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(rows.array, rows.y, epochs=5, verbose=0)

    def log(mlflow: Any, **facts: Any) -> Any:
        import mlflow.keras

        return mlflow.keras.log_model(model, save_exported_model=False, **facts)

    # MLflow 3.17 fails where a Keras model is logged with an example: it writes that before it makes the folder.
    return Fitted(log, few(rows.array), model.predict(few(rows.array), verbose=0), shown=False)


def _bert(task: str, kind: str) -> Configuration:
    def fit() -> Fitted:
        pipeline, sentences = _reader(task, kind)

        def log(mlflow: Any, **facts: Any) -> Any:
            return mlflow.transformers.log_model(pipeline, task=task, **facts)

        return Fitted(log, sentences[:4], None)

    return Configuration("transformers", "clinc150 text", f"tiny random BERT, {task}", fit, needs="clinc150")


def _reader(task: str, kind: str) -> tuple[Any, list[str]]:
    """A pipeline that was never trained, with a vocabulary of the texts' own words."""
    import torch
    import transformers

    sentences = utterances().sentences
    words = sorted({word for sentence in sentences for word in sentence.split()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]), encoding="utf-8")
        tokenizer = transformers.BertTokenizer(str(path), model_max_length=48)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=len(words) + 5, max_position_embeddings=48, num_labels=5, **size)
    model = getattr(transformers, kind)(config).eval()
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu"), sentences


CONFIGURATIONS = (
    _torch("iris", "perceptron with BatchNorm", lambda: _classifier("iris", _perceptron, (4,))),
    _torch("digits", "convolutional network", lambda: _classifier("digits", _convolution, (1, 8, 8)), quick=True),
    _torch(
        "digits", "convolutional network, torch.export", lambda: _classifier("digits", _convolution, (1, 8, 8)), "pt2"
    ),
    _torch("digits", "GRU", lambda: _classifier("digits", _recurrent, (8, 8))),
    _torch("digits", "Transformer encoder", lambda: _classifier("digits", _attentive, (8, 8))),
    _torch("diabetes", "two inputs", _two_inputs),
    Configuration("keras", "wine", "Sequential with Normalization", _keras),
    _bert("text-classification", "BertForSequenceClassification"),
    _bert("feature-extraction", "BertModel"),
)
