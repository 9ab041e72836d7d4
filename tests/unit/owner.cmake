# SPDX-License-Identifier: Apache-2.0
foreach(name task death event want lease lineage lost rest object refs contents stage remote stream items random explain backoff)
    mob_unit_test(owner_${name} mob_owner)
endforeach()
