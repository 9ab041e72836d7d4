# SPDX-License-Identifier: Apache-2.0
foreach(name alloc store store_pins store_pull)
    mob_unit_test(${name} mob_store)
endforeach()
