#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 600-chaos.sh -- trees of tasks on five hosts while a monkey kills, freezes, cuts off and spoils all but the driver and its raylet: chaos.sh,
# short, and shorter with sanitizers. `./run test --long` has ten minutes of it.
seconds=20
[ -z "${MOB_SANITIZED:-}" ] || seconds=10
exec bash "$(dirname "$0")/chaos.sh" --seed 1 --seconds $seconds
