# SPDX-License-Identifier: Apache-2.0
mob_unit_test(bulk mob_bulk)
