# SPDX-License-Identifier: Apache-2.0
mob_sources_of(core worker/core.cmake "mob_owner STATIC")
mob_fuzz_library(fuzzed_owner ${core} common/doorbell.c common/channel.c common/channel_owner.c common/channel_worker.c)
mob_fuzz_test(answer 4096 fuzzed_owner fuzzed_common)
mob_fuzz_library(fuzzed_executor worker/executor.c)
target_link_libraries(fuzzed_executor PUBLIC fuzzed_channel)
mob_fuzz_test(executor 4096 fuzzed_executor fuzzed_channel fuzzed_common)

mob_sources_of(runtime worker/runtime.cmake "MOB_RUNTIME_SOURCES")
mob_fuzz_library(fuzzed_runtime ${runtime} worker/executor.c objstore/client.c objstore/span.c common/launch.c common/daemon_log.c
    common/here.c common/holder.c)
target_link_libraries(fuzzed_runtime PUBLIC fuzzed_owner ${CMAKE_DL_LIBS})
mob_fuzz_test(inbox 4096 fuzzed_runtime fuzzed_owner fuzzed_common)
