# SPDX-License-Identifier: Apache-2.0
# Where threads meet, in libraries that are ours alone: what -DMOB_SANITIZE=thread is for (`ninja threads`, `ctest -L threads`). Not rpc:
# the gRPC library is not instrumented. Read after the lists that make these tests: files are read by name.
add_custom_target(threads)
foreach(name bulk bulk_liars channel_threads loop runtime_life runtime_api store_pins)
    set_tests_properties(unit/${name} PROPERTIES LABELS "unit;threads")
    add_dependencies(threads test_${name})
endforeach()
