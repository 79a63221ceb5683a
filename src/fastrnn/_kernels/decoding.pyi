from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]
_Followed: TypeAlias = tuple[_Array, _Array, _Array, _Array | None]

class Decoding: ...

def decode_greedy(
    decoder: Any,
    states: list[_Array],
    memory: _Array | None,
    lengths: _Array | None,
    constant: _Array | None,
    *,
    start: _Array,
    end: int | None,
    max_length: int,
    forced: _Array | None,
    use_forced: _Array | None,
    return_alignment: bool,
    num_threads: int | None = None,
) -> _Followed: ...
def decode_sample(
    decoder: Any,
    states: list[_Array],
    memory: _Array | None,
    lengths: _Array | None,
    constant: _Array | None,
    *,
    start: _Array,
    end: int | None,
    max_length: int,
    forced: _Array | None,
    use_forced: _Array | None,
    return_alignment: bool,
    seeds: _Array,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    num_threads: int | None = None,
) -> _Followed: ...
def decode_beam(
    decoder: Any,
    states: list[_Array],
    memory: _Array | None,
    lengths: _Array | None,
    constant: _Array | None,
    *,
    start: _Array,
    end: int,
    max_length: int,
    beam_size: int,
    n_best: int,
    length_penalty: float,
    coverage_penalty: float,
    return_alignment: bool,
    num_threads: int | None = None,
) -> list[list[tuple[_Array, float, float, bool, _Array | None]]]: ...
