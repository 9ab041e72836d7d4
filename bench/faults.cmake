# SPDX-License-Identifier: Apache-2.0
add_executable(bench_faults ${CMAKE_CURRENT_LIST_DIR}/faults.c)
target_link_libraries(bench_faults PRIVATE mobula)
