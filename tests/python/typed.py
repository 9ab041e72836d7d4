# SPDX-License-Identifier: Apache-2.0
"""What the hints tell a type checker of a user's program: mypy --strict must refuse the lines that are marked, and no others. Never run."""

from concurrent.futures import Future

import mobula as ray
from mobula.cluster_utils import Cluster
from mobula.util import as_completed, map_unordered
from mobula.util.executor import Executor
from mobula.util.multiprocessing import Pool
from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote
def square(x: int) -> int:
    return x * x


@ray.remote(num_cpus=2, num_returns=2)
def halves(text: str) -> tuple[str, str]:
    return text[::2], text[1::2]


# The type of a task's value goes along with its reference.
ref: ray.ObjectRef[int] = square.remote(3)
number: int = ray.get(ref, timeout=1.5)
wrong: str = ray.get(ref)  # type: ignore[assignment]
numbers: list[int] = ray.get([square.remote(i) for i in range(4)])
wrong_list: list[str] = ray.get([ref])  # type: ignore[list-item]
stored: ray.ObjectRef[list[float]] = ray.put([1.5])
first: float = ray.get(stored)[0]
ready, others = ray.wait([square.remote(i) for i in range(4)], num_returns=2, timeout=None)
wrong_ready: list[ray.ObjectRef[str]] = ready  # type: ignore[assignment]
future: Future[int] = ref.future()
why: str = ref.explain()
square(3)
a, b = halves.remote("text")
c, d = square.options(num_returns=2).remote(1)
ray.get("text")  # type: ignore[arg-type]
ray.put()  # type: ignore[call-arg]
ray.cancel(ref, force=True)
ray.cancel("text")  # type: ignore[arg-type]


async def value() -> int:
    return await square.remote(3)


with ray.init(num_cpus=2, resources={"licence": 1}) as context:
    address: str = context.address_info["node_ip_address"]
ray.init(num_cpus="two")  # type: ignore[arg-type]
cpus: float = ray.cluster_resources()["CPU"]
names: list[str] = [node["NodeID"] for node in ray.nodes()]
task: str | None = ray.get_runtime_context().get_task_id()

for x in as_completed([ref]):
    print(x)
for x in map_unordered(square, range(4), backpressure_size=2):
    print(x)
with Executor(num_cpus=0.5) as executor:
    total: int = sum(executor.map(abs, range(4)))
with Pool(2) as pool:
    print(pool.map(abs, range(4), chunksize=2))
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
node = cluster.add_node(num_cpus=4)
square.options(scheduling_strategy=NodeAffinitySchedulingStrategy("1", soft=True)).remote(1)
try:
    ray.get(ref)
except ray.exceptions.RayTaskError as error:
    print(error.function_name, error.cause)
except ray.exceptions.RayError as error:
    lives: list[float] = [death.lived for death in error.deaths]
    if error.death is not None:
        print(error.death.killed_by + error.death.core, error.death.peak_memory // 2**20, error.attempt + 1, lives)
