"""How long a run took and how much CPU time it used, with its ended child processes."""

import resource
import time

FEWEST_IMAGES = 2


class Usage:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._began_s, self._used_s = time.perf_counter(), _read_cpu_s()

    def to_lines(self, images: int) -> list[str]:
        """Return what a command says at its end; nothing for a single image.

        Parameters
        ----------
        images : int
            How many were measured. Loading the model is part of the time.
        """
        if images < FEWEST_IMAGES:
            return []
        took_s, used_s = time.perf_counter() - self._began_s, _read_cpu_s() - self._used_s
        return [
            f"{images} images in {took_s:.1f} s with loading: {images / took_s:.1f} per second, "
            f"{used_s / images:.3f} CPU seconds each."
        ]


def _read_cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
