# SPDX-License-Identifier: Apache-2.0
"""Imported late."""

WORDS = "imported late"
