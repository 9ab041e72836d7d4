# SPDX-License-Identifier: Apache-2.0
mob_unit_test(rpc mob_rpc)
# gRPC's threads do not survive a fork.
set_tests_properties(unit/rpc PROPERTIES ENVIRONMENT CK_FORK=no)
