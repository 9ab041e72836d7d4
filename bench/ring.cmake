# SPDX-License-Identifier: Apache-2.0
add_executable(bench_ring ring.c)
target_link_libraries(bench_ring PRIVATE mob_common)
