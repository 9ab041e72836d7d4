# SPDX-License-Identifier: Apache-2.0
"""A module of the driver's own, which no node has."""
WORDS = "from beside"
