# SPDX-License-Identifier: Apache-2.0
set(core owner task body kind shape lease push local remote answer object watch event slab)
list(TRANSFORM core REPLACE "(.+)" "worker/\\1.c")
mob_fuzz_library(fuzzed_owner ${core} common/doorbell.c common/channel.c common/channel_owner.c common/channel_worker.c)
mob_fuzz_test(answer 4096 fuzzed_owner fuzzed_common)
mob_fuzz_library(fuzzed_executor worker/executor.c)
target_link_libraries(fuzzed_executor PUBLIC fuzzed_channel)
mob_fuzz_test(executor 4096 fuzzed_executor fuzzed_channel fuzzed_common)
