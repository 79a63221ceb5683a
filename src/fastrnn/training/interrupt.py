"""Deferred handling of Ctrl-C."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class DeferredInterrupt:
    """A context in which the first Ctrl-C only sets `requested`; the second one acts as usual.

    Only the main thread can handle signals. In other threads, and if SIGINT is ignored (as in a
    shell's background jobs), nothing is installed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> DeferredInterrupt:
        self._previous = signal.getsignal(signal.SIGINT)
        self._installed = threading.current_thread() is threading.main_thread() and callable(
            self._previous
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._uninstall()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._uninstall()

    def _uninstall(self) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)
            self._installed = False
