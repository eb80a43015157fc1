"""What pytest leaves alone here: importing it would rewrite pytest's own sockets and threads."""

from __future__ import annotations

collect_ignore = ["sextant_loadtest/swarm", "locustfile.py"]
