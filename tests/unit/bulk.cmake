# SPDX-License-Identifier: Apache-2.0
mob_unit_test(bulk mob_bulk)
mob_unit_test(bulk_liars mob_bulk)
