# SPDX-License-Identifier: Apache-2.0
add_executable(bench_tasks ${CMAKE_CURRENT_LIST_DIR}/tasks.c)
target_link_libraries(bench_tasks PRIVATE mobula)
