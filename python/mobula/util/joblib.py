# SPDX-License-Identifier: Apache-2.0
"""joblib on remote functions: ``register_ray()``, then ``with joblib.parallel_backend("ray"): ...``."""

from collections.abc import Callable
from typing import Any

import mobula
from mobula.util.executor import Executor

try:
    from joblib import register_parallel_backend
    from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase
except ImportError as e:
    raise ImportError("mobula.util.joblib needs joblib: install it for this interpreter, and on each node") from e


class MobulaBackend(AutoBatchingMixin, ParallelBackendBase):
    """Batches of joblib's calls as tasks. ray_remote_args: options of them, as of mobula.remote()."""

    supports_retrieve_callback = supports_timeout = supports_return_generator = True

    def __init__(self, *args: Any, ray_remote_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._options = ray_remote_args or {}
        self._executor: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many run at once: all CPUs of the cluster for -1, one less for -2."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs > 0:
            return n_jobs or 1
        return max(1, int(mobula.cluster_resources().get("CPU", 1)) + 1 + n_jobs)

    def configure(self, n_jobs: int | None = 1, parallel: Any = None, prefer: str | None = None, require: str | None = None,
                  ray_remote_args: dict[str, Any] | None = None, **unused: Any) -> int:
        """joblib starts."""
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel, self._executor = parallel, Executor(**(ray_remote_args or self._options))
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Any:
        """A future of func()."""
        future = self._executor.submit(func)
        future.get = future.result          # as joblib before 1.4 asks it
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit

    def retrieve_result_callback(self, future: Any) -> Any:
        """Its result."""
        return future.result()

    def terminate(self) -> None:
        """joblib has ended."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """A call failed: stop the others."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)


def register_ray() -> None:
    """Make "ray" and "mobula" known to joblib.parallel_backend() and Parallel(backend=)."""
    register_parallel_backend("ray", MobulaBackend)
    register_parallel_backend("mobula", MobulaBackend)
