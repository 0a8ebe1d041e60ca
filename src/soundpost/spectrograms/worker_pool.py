"""The pool of worker processes: who is idle, who is busy, what they have to say, and who takes a dead one's place."""

import gc
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from soundpost.spectrograms.cache.memory_tier import SharedPages
from soundpost.spectrograms.cache.slots import Slot
from soundpost.spectrograms.worker import serve
from soundpost.spectrograms.worker_messages import Died, Message, Task

KILL_SECONDS = 1.0  # to wait for a killed process; one that hangs in a read of a dead disk never goes


class Worker:
    """One process, its pipe, and what it is doing."""

    def __init__(self, context: Any, pages: SharedPages | None) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, pages, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.since = time.monotonic()  # when the task began

    def give(self, task: Task) -> None:
        """Start a task; the worker must be idle."""
        self.task = task
        self.since = time.monotonic()
        self.tell(task)

    def tell(self, message: Task | Slot | None) -> None:
        """Send a message; when nobody is there any more, the death comes among the pool's messages."""
        with suppress(OSError):
            self.connection.send(message)

    def kill(self) -> None:
        """End the process at once; it holds nothing that anybody needs."""
        self.process.kill()
        self.process.join(KILL_SECONDS)
        self.connection.close()


class WorkerPool:
    """A fixed number of workers; one that dies is replaced by a freshly spawned one.

    Args:
        count: how many processes.
        pages: the cache's memory tier, mapped by every worker.
        start_method: "fork" (cheap: must happen before threads and CUDA) or "spawn".
        max_replacements: after so many deaths no new worker is started any more.
    """

    def __init__(self, count: int, pages: SharedPages | None, start_method: str, max_replacements: int = 20) -> None:
        self._pages = pages
        self._replacements_left = max_replacements
        context = multiprocessing.get_context(start_method)
        if start_method == "fork":
            gc.freeze()  # a collection, here or in a worker, would write to every page of objects that they share
        self.workers = [Worker(context, pages) for _ in range(count)]
        self.deaths = 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return [worker.process.pid for worker in self.workers if worker.process.pid]

    def idle(self) -> list[Worker]:
        """Workers without a task."""
        return [worker for worker in self.workers if worker.task is None]

    def busy(self) -> list[Worker]:
        """Workers with a task."""
        return [worker for worker in self.workers if worker.task is not None]

    def messages(self, timeout: float, extra: tuple[Any, ...] = ()) -> Iterator[tuple[Worker, Message]]:
        """What the workers have to say, waiting at most timeout seconds for the first word.

        Args:
            timeout: seconds.
            extra: more waitable objects that end the waiting, such as the read end of a pipe.
        """
        by_connection = {worker.connection: worker for worker in self.workers}
        by_sentinel = {worker.process.sentinel: worker for worker in self.workers}
        ready = wait([*by_connection, *by_sentinel, *extra], timeout)
        for source in ready:
            if source in by_connection:
                worker = by_connection[source]
                try:
                    message: Message = worker.connection.recv()
                except (EOFError, OSError):
                    continue  # its sentinel tells why
                yield worker, message
        for source in ready:
            if source in by_sentinel and by_sentinel[source] in self.workers:
                worker = by_sentinel[source]
                worker.process.join()
                yield worker, Died(f"worker {worker.process.pid} ended with status {worker.process.exitcode}")
                self.replace(worker)

    def replace(self, worker: Worker) -> None:
        """Kill a worker and put a fresh one in its place, as long as replacements are left."""
        worker.kill()
        self.workers.remove(worker)
        self.deaths += 1
        if self._replacements_left > 0:
            self._replacements_left -= 1
            self.workers.append(Worker(multiprocessing.get_context("spawn"), self._pages))

    def shrink(self, count: int) -> None:
        """Keep at most so many workers; only idle ones go."""
        for worker in self.idle()[: max(0, len(self.workers) - count)]:
            worker.kill()
            self.workers.remove(worker)

    def close(self) -> None:
        """Kill all workers; what they were doing is lost, what they stored is not."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
