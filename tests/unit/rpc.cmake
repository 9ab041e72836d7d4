# SPDX-License-Identifier: Apache-2.0
mob_unit_test(rpc mob_rpc)
mob_unit_test(rpc_entry mob_rpc)
# gRPC's threads do not survive a fork; what it leaves behind itself is no leak of ours.
set_tests_properties(unit/rpc unit/rpc_entry PROPERTIES
    ENVIRONMENT "CK_FORK=no;LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/grpc.supp:print_suppressions=0")
