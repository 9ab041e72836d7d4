# SPDX-License-Identifier: Apache-2.0
add_executable(bench_transfer ${CMAKE_CURRENT_LIST_DIR}/transfer.c)
target_link_libraries(bench_transfer PRIVATE mobula)
