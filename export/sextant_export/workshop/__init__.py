"""
The workshop: one child process for each export, in which the code of registered models runs, within limits.

Loading a model runs what was saved with it, and so does asking it.  This process resolves and fetches, because it has
the registry's credentials, and writes the store; everything between happens in a child without secrets, which holds
what it has loaded until the export ends, so that nothing is loaded twice and no model ever crosses the pipe.

==============  ==========================================================================================
``door``        this side: orders work, hears the narration, raises the child's errors as its own
``forks``       this side: the fork server, started once for a process and gone with it
``fork_server`` a process that has imported what exports need, and forks a child for each of them
``child``       the other side: settles within its limits, then works until the pipe closes
``wire``        what crosses the pipe towards this side: JSON, never a pickle
``limits``      processor time, memory, time, and what is said when one is exceeded
``secrets``     the environment that a model's code may see
==============  ==========================================================================================
"""

from sextant_export.workshop.door import Workshop
from sextant_export.workshop.limits import Limits

__all__ = ["Limits", "Workshop"]
