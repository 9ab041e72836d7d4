# SPDX-License-Identifier: Apache-2.0
mob_fuzz_library(fuzzed_layout python/core/layout.c)
mob_fuzz_test(layout 1024 fuzzed_layout)
target_include_directories(fuzz_layout PRIVATE ${CMAKE_SOURCE_DIR}/python/core)
