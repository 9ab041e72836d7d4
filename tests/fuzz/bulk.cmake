# SPDX-License-Identifier: Apache-2.0
mob_sources_of(sources objstore/bulk.cmake "mob_bulk STATIC")
mob_fuzz_library(fuzzed_bulk ${sources} common/loop.c)
mob_fuzz_test(bulk 4096 fuzzed_bulk fuzzed_common)
