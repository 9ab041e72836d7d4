# SPDX-License-Identifier: Apache-2.0
mob_fuzz_library(fuzzed_words rpc/words.c)
target_link_libraries(fuzzed_words PUBLIC mob_grpc)
mob_fuzz_test(words 1024 fuzzed_words fuzzed_common)
