#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 600-chaos.sh -- trees of tasks on five hosts while a monkey kills, freezes, cuts off and spoils all but the driver and its raylet: chaos.sh,
# short. `./run test --long` has ten minutes of it.
exec bash "$(dirname "$0")/chaos.sh" --seed 1 --seconds 20
