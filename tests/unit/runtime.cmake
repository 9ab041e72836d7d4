# SPDX-License-Identifier: Apache-2.0
mob_unit_test(executor mob_owner)
