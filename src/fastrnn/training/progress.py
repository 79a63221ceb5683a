"""The progress of one epoch: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType


class EpochProgress:
    """Shows an epoch's batches, mean loss, learning rate, pace and metrics on standard error."""

    def __init__(self, title: str, *, total: int, done: int, show: bool) -> None:
        from tqdm import tqdm

        self._title = title
        self._values: dict[str, str] = {}
        self._line = show and not sys.stderr.isatty()
        self._bar = tqdm(
            desc=title,
            total=total,
            initial=done,
            unit="batch",
            dynamic_ncols=True,
            disable=self._line or not show,
        )
        self._start = time.perf_counter()
        self._tokens = 0

    def __enter__(self) -> EpochProgress:
        return self

    def batch(self, loss: float, lr: float, tokens: int) -> None:
        """Show that one more batch is done, of so many tokens, if they are counted."""
        self._values = {"loss": f"{loss:.4f}", "lr": f"{lr:.3g}"}
        self._tokens += tokens
        if self._tokens:
            pace = self._tokens / (time.perf_counter() - self._start)
            self._values["tokens/s"] = f"{pace:.0f}"
        self._bar.set_postfix(self._values, refresh=False)
        self._bar.update()

    def metrics(self, metrics: dict[str, float]) -> None:
        """Show the results of the validation."""
        self._values |= {name: f"{value:.4g}" for name, value in metrics.items()}
        self._bar.set_postfix(self._values)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self._line and error is None:
            values = ", ".join(f"{name} {value}" for name, value in self._values.items())
            seconds = time.perf_counter() - self._start
            print(f"{self._title}: {values} ({seconds:.1f} s)", file=sys.stderr, flush=True)
