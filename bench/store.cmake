# SPDX-License-Identifier: Apache-2.0
add_executable(bench_store ${CMAKE_CURRENT_LIST_DIR}/store.c)
target_link_libraries(bench_store PRIVATE mobula)
