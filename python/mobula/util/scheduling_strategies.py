# SPDX-License-Identifier: Apache-2.0
"""Where a task shall run, for ``scheduling_strategy=``."""


class NodeAffinitySchedulingStrategy:
    """On this node: there alone, or (``soft``) there if it fits. ``node_id``: as in ``mobula.nodes()``."""

    def __init__(self, node_id, soft):
        if not isinstance(node_id, str):
            raise TypeError(f"node_id must be a str, not {node_id!r}")
        self.node_id, self.soft = node_id, soft
