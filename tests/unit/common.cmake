# SPDX-License-Identifier: Apache-2.0
foreach(name map machine resources wire loop sysinfo paths identity token spawn basics packed)
    mob_unit_test(${name} mob_common)
endforeach()
