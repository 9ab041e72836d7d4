# SPDX-License-Identifier: Apache-2.0
"""Where a task shall run, for the option ``scheduling_strategy`` of remote functions; besides these "DEFAULT" and "SPREAD"."""


class NodeAffinitySchedulingStrategy:
    """On one node.

        from mobula.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = mobula.get_runtime_context().get_node_id()
        f.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)).remote()

    node_id: as ``mobula.nodes()`` has it under "NodeID". soft: elsewhere, if it cannot run there; otherwise the task fails with
    TaskUnschedulableError when the node has died, or can never run it.
    Raises TypeError if node_id is not text.
    """

    def __init__(self, node_id: str, soft: bool) -> None:
        if not isinstance(node_id, str):
            raise TypeError(f"node_id must be a str, not {node_id!r}")
        self.node_id, self.soft = node_id, soft
