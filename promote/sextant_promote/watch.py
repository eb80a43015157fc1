"""
The watch: pass after pass over each pipeline, until it is told to end.

A page, a registry and a fleet may each be away or wrong for hours; the watch says so once, goes on with the other
pipelines, and says when it is over. It remembers nothing that a watch which starts again would miss.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sextant.errors import LeaseHeld, ParametersError, SextantError
from sextant_export.journal import now
from sextant_export.pipeline import Pipeline
from sextant_export.registry import Registry
from sextant_export.signing import Signing
from sextant_export.store import Store
from sextant_promote.backoff import Backoff
from sextant_promote.bell import Bell
from sextant_promote.fleet import Fleet
from sextant_promote.front import serving_receipt
from sextant_promote.live import log_known_cases
from sextant_promote.page import Page
from sextant_promote.reconcile import PASSING, PROMOTED, REFUSED, ROLLED_BACK, WARNED, Outcome, aim, keep
from sextant_promote.site import Site

AWAY, BACK, WAITING, STEP, IN_ORDER = "away", "back", "waiting", "step", "in order"
EVERY_S = 15.0
FILES_EVERY_S = 60.0
"""How often the files of servers' own copies are compared with the store's: that lists them all."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A line of the watch's log: *at* (UTC) an *event* of a *pipeline*, in one *sentence*."""

    at: str
    pipeline: str
    event: str
    sentence: str
    release: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pass:
    """
    A pass over the *pipeline* of a *page* took so many *seconds*; its *outcome* is IN_ORDER, REFUSED, AWAY or WAITING.

    *asked_every_s* is how often its known cases are asked; None: never.
    """

    page: Path
    pipeline: str
    outcome: str
    seconds: float
    asked_every_s: float | None = None


def _unheard(_: Pass) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Post:
    """
    What a watch is kept over, every *every_s* seconds, and who is *told*; *backoff* makes the waits for what is away.

    *passed* hears of each pass that has ended. *fleet* is asked before each pass, so that servers may come back under
    other addresses. *signing* and *making* are those of :func:`~sextant_promote.promotion.promote`.
    """

    store: Store
    registry: Registry
    fleet: Callable[[], Fleet]
    told: Callable[[Notice], None]
    every_s: float = EVERY_S
    passed: Callable[[Pass], None] = _unheard
    backoff: Callable[[], Backoff] = Backoff
    signing: Signing | None = None
    making: Mapping[str, Any] = field(default_factory=dict)


def watch(paths: Sequence[Path], post: Post, bell: Bell | None = None, *, once: bool = False) -> int:
    """
    Keep what serves equal to what the registry says of the pipelines of the pages at *paths*, until *bell* ends it.

    A ring makes all passes due at once; with *once* there is one of each. Gives how many pipelines were in trouble
    then.
    ``ParametersError`` where two pages are of one pipeline.
    """
    bell = bell or Bell()
    watched = [_Watched(Page(path), post) for path in paths]
    _refuse_twins(watched)
    while not bell.ended:
        for each in watched:
            if not bell.ended:
                each.run()
        if once:
            break
        if bell.wait(min(each.due for each in watched) - time.monotonic()):
            for each in watched:
                each.pass_due = 0.0
    return sum(each.trouble is not None for each in watched)


def _refuse_twins(watched: Sequence[_Watched]) -> None:
    """Two pages of one pipeline would each undo what the other does."""
    names = Counter(each.page.name for each in watched if each.page.pipeline)
    twins = [name for name, count in names.items() if count > 1]
    if twins or not watched:
        said = f"{twins[0]} is the pipeline of more than one page" if twins else "there is no page to watch"
        raise ParametersError(f"{said}: name one page for each pipeline")


@dataclass
class _Watched:
    """One page under watch, and when it is looked after again; *trouble* is what stands in the way, as it was said."""

    page: Page
    post: Post
    pass_due: float = 0.0
    live_due: float = 0.0
    files_due: float = 0.0
    trouble: tuple[str, object] | None = None
    silence: str | None = None
    away: Backoff = field(init=False)
    unanswered: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self.away, self.unanswered = self.post.backoff(), self.post.backoff()

    @property
    def due(self) -> float:
        """When there is something to do, by the monotonic clock."""
        wants_live = self.page.pipeline is not None and self.page.pipeline.live is not None
        return min(self.pass_due, self.live_due) if wants_live else self.pass_due

    def run(self) -> None:
        """Whatever is due."""
        if self.pass_due <= time.monotonic():
            begun, wait_s = time.monotonic(), self._pass()
            self.pass_due = time.monotonic() + wait_s
            self.post.passed(self._ended(time.monotonic() - begun))
        if self.live_due <= time.monotonic():
            self._live()

    def _ended(self, seconds: float) -> Pass:
        """The pass that took so long."""
        live = self.page.pipeline.live if self.page.pipeline else None
        return Pass(
            page=self.page.path,
            pipeline=self.page.name,
            outcome=self.trouble[0] if self.trouble else IN_ORDER,
            seconds=seconds,
            asked_every_s=live.every_s if live else None,
        )

    def _pass(self) -> float:
        """One pass, whatever comes of it; gives the seconds until the next."""
        try:
            self._look()
        except LeaseHeld as error:
            self._stopped(WAITING, error)
        except PASSING as error:
            self._stopped(AWAY, error)
            return self.away.next_s()
        except SextantError as error:
            self._refused(str(error))
        except Exception as error:  # noqa: BLE001  a fault in one pipeline must not end the watch over the others
            self._stopped(AWAY, error)
            return self.away.next_s()
        self.away.reset()
        return self.post.every_s

    def _look(self) -> None:
        """What serves is kept in order whatever page and registry say; only then it is made what they say."""
        page = self.page
        page.reread()
        site = self._site()
        if page.pipeline is not None:
            self._told(keep(page.pipeline.name, site, files=self._files()))
        if page.problem is not None:
            raise page.problem
        assert page.pipeline is not None  # noqa: S101  a page without problem is a pipeline
        refusals = self._told(aim(page.pipeline, site, **self.post.making))
        if refusals:
            self._refused(refusals[-1].sentence, refusals[-1].release)
        else:
            self._in_order()

    def _site(self) -> Site:
        post, narrator = self.post, _Steps(self._tell)
        fleet = post.fleet()
        return Site(store=post.store, fleet=fleet, registry=post.registry, narrator=narrator, signing=post.signing)

    def _told(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Tell what was done; gives what was refused, which is only told where it is news."""
        refusals = []
        for outcome in outcomes:
            if outcome.event == REFUSED:
                refusals.append(outcome)
                continue
            self._tell(outcome.event, outcome.sentence, outcome.release)
            if outcome.event in {PROMOTED, ROLLED_BACK} and self.page.pipeline and self.page.pipeline.live:
                self.live_due = time.monotonic() + self.page.pipeline.live.every_s  # a promotion asks them itself
        return refusals

    def _files(self) -> bool:
        if time.monotonic() < self.files_due:
            return False
        self.files_due = time.monotonic() + FILES_EVERY_S
        return True

    def _live(self) -> None:
        """The known cases through what serves; what does not answer is asked less and less often."""
        pipeline = self.page.pipeline
        if pipeline is None or pipeline.live is None:
            self.live_due = self.pass_due
            return
        silence = "; ".join(self._asked(pipeline)) or None
        if silence is None:
            self.unanswered.reset()
        elif self.silence is None:
            self._tell(WARNED, silence)
        self.silence = silence
        self.live_due = time.monotonic() + (self.unanswered.next_s() if silence else pipeline.live.every_s)

    def _asked(self, pipeline: Pipeline) -> tuple[str, ...]:
        post = self.post
        try:
            serving = serving_receipt(post.store, pipeline.name)
            return log_known_cases(pipeline, post.store, post.registry, serving, *post.fleet().urls) if serving else ()
        except Exception as error:  # noqa: BLE001  as in a pass
            return (_sentence(error),)

    def _stopped(self, event: str, error: Exception) -> None:
        """The same kind of trouble is said once, however its words change: who waits for what, and how long."""
        if self.trouble != (trouble := (event, type(error))):
            self._tell(event, _sentence(error))
        self.trouble = trouble

    def _refused(self, sentence: str, release: int | None = None) -> None:
        if self.trouble != (trouble := (REFUSED, sentence)):
            self._tell(REFUSED, sentence, release)
        self.trouble = trouble

    def _in_order(self) -> None:
        if self.trouble is not None:
            self._tell(BACK, "in order again", self.post.store.served_release(self.page.name))
        self.trouble = None

    def _tell(self, event: str, sentence: str, release: int | None = None) -> None:
        self.post.told(Notice(at=now(), pipeline=self.page.name, event=event, sentence=sentence, release=release))


def _sentence(error: Exception) -> str:
    """Our own errors say what to do; of any other the kind says most."""
    return str(error) if isinstance(error, SextantError) else f"{type(error).__name__}: {error}"


class _Steps:
    """The narrator of a promotion under watch: each step is a notice when it has ended."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell, self._outcome = tell, ""

    @contextmanager
    def step(self, title: str) -> Iterator[_Steps]:
        begun, self._outcome = time.monotonic(), ""
        try:
            yield self
        except BaseException:
            self._outcome = "failed"
            raise
        finally:
            said = f": {self._outcome}" if self._outcome else ""
            self._tell(STEP, f"{title}{said} ({time.monotonic() - begun:.1f} s)")

    def result(self, text: str) -> None:
        self._outcome = text
