"""
Which settings of ``serving`` suit a pipeline on this machine: tried one after the other, and the best written down.

A setting is a :class:`~sextant_export.pipeline.Serving`; its *trial* is the load that it was measured under.
"""
