# SPDX-License-Identifier: Apache-2.0
target_sources(mob_owner PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/executor.c)
