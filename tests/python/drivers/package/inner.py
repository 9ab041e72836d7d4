# SPDX-License-Identifier: Apache-2.0
"""A module in it."""
WORDS = "in a package"
