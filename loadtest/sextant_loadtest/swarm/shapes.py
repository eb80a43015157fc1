"""The shapes of a load, as Locust takes them; :mod:`sextant_loadtest.curves` holds their arithmetic."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape

from sextant_loadtest.curves import users_at


class _Shape(LoadTestShape):  # type: ignore[misc]  # Locust has no types here
    """
    As many users as the curve *shape* says, of Locust's own numbers of users and seconds.

    Without a time to run it lasts until it is stopped, and all users are there.
    """

    abstract = True
    use_common_options = True
    shape: ClassVar[str]

    def tick(self) -> tuple[int, float] | None:
        """The users that should be there now, come or go at once; None at the end."""
        options = self.runner.environment.parsed_options
        users, duration_s = int(options.num_users or 1), options.run_time
        if not duration_s:
            return users, float(users)
        now = users_at(self.chosen, self.get_run_time(), users, float(duration_s))
        return None if now is None else (now, float(users))

    @property
    def chosen(self) -> str:
        """The name of the curve."""
        return self.shape


class Chosen(_Shape):
    """The shape that the option ``--shape`` names."""

    @property
    def chosen(self) -> str:
        """What the option says."""
        return str(self.runner.environment.parsed_options.shape)


class Ramp(_Shape):
    """More and more users, then all of them."""

    shape = "ramp"


class Soak(_Shape):
    """All users, for a long time."""

    shape = "soak"


class Spike(_Shape):
    """A few users, for a while all of them at once, and a few again."""

    shape = "spike"


class Steady(_Shape):
    """All users, from the first moment to the last."""

    shape = "steady"
