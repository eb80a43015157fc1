"""Sextant and its peers, served side by side and asked in turn; ``peers.py`` is the script."""

import sys
from pathlib import Path

# What the peers run in environments of their own, and the world that tests live in.
sys.path[:0] = [str(Path(__file__).parents[1] / "peer_servers"), str(Path(__file__).parents[2] / "tests")]
