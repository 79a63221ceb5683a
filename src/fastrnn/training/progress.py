"""The progress of an epoch: a bar on a terminal, and one line at its end."""

from __future__ import annotations

import sys
import time
from contextlib import suppress


class EpochProgress:
    """Prints an epoch's batches, mean loss, learning rate, speed and metrics on standard error."""

    def __init__(self, title: str, *, total: int, done: int, show: bool) -> None:
        from tqdm import tqdm

        self._title = title
        self._values: dict[str, str] = {}
        self._show = show
        self._bar = tqdm(
            desc=title,
            total=total,
            initial=done,
            unit="batch",
            dynamic_ncols=True,
            leave=False,  # a narrow terminal would cut the line that replaces the bar
            disable=not (show and sys.stderr.isatty()),
        )
        self._start = time.perf_counter()
        self._tokens = 0

    def __enter__(self) -> EpochProgress:
        return self

    def batch(self, loss: float, lr: float, tokens: int) -> None:
        """Count one more batch and, if they are known, its tokens."""
        self._values = {"loss": f"{loss:.4f}", "lr": f"{lr:.3g}"}
        self._tokens += tokens
        if self._tokens:
            pace = self._tokens / (time.perf_counter() - self._start)
            self._values["tokens/s"] = f"{pace:.0f}"
        # Before the bar, because a narrow terminal cuts the end.
        self._bar.set_description_str(self._text(), refresh=False)
        self._bar.update()
        if self._bar.n == self._bar.total:  # a long validation may follow
            self._bar.refresh()

    def metrics(self, metrics: dict[str, float]) -> None:
        """Add the results of the validation."""
        self._values |= {name: f"{value:.4g}" for name, value in metrics.items()}

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._bar.close()
        if self._show and error is None:
            seconds = time.perf_counter() - self._start
            with suppress(OSError):  # closed or full: no reason to stop the training
                print(f"{self._text()} ({seconds:.1f} s)", file=sys.stderr, flush=True)

    def _text(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self._values.items())
        return f"{self._title}: {values}"
