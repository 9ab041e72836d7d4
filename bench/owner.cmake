# SPDX-License-Identifier: Apache-2.0
add_executable(bench_owner owner.c)
target_link_libraries(bench_owner PRIVATE mob_owner)
