# SPDX-License-Identifier: Apache-2.0
# What of the extension (python/core/) is seen in public hints; the rest is between it and this package.
from typing import Any

version: str

class Ref:
    def id(self) -> str: ...
    def explain(self) -> str: ...

def __getattr__(name: str) -> Any: ...
