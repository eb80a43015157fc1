"""
Steps of a pipeline as one ONNX graph, ``serving: {fuse_graph: true}``.

:mod:`.fusion` is what a release calls. It asks :mod:`.choice` which steps can be nodes, has :mod:`.compiler` make one
graph of them, and :mod:`.proving` hold it against the steps themselves. A block is written by a module of its own name,
which :mod:`.steps` lists; members' graphs are taken in by :mod:`.merging`.
"""
