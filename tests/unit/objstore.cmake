# SPDX-License-Identifier: Apache-2.0
foreach(name alloc store store_pins store_loan store_wait store_pages store_huge store_crash store_pull store_turns store_serve store_leave)
    mob_unit_test(${name} mob_store)
endforeach()
mob_unit_test(disk mob_disk)
mob_unit_test(disk_full mob_disk)
mob_unit_test(store_spill mob_disk)
mob_unit_test(store_overflow mob_disk)
# It reserves huge pages of the system while it runs.
set_tests_properties(unit/store_huge PROPERTIES RUN_SERIAL TRUE)
