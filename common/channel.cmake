# SPDX-License-Identifier: Apache-2.0
target_sources(mob_common PRIVATE doorbell.c channel.c channel_owner.c channel_worker.c)
if(MOB_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # Its fences order flags, never data: what ThreadSanitizer checks needs none of them.
    set_source_files_properties(doorbell.c PROPERTIES COMPILE_OPTIONS -Wno-tsan)
endif()
