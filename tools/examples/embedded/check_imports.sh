#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_imports.sh NM OBJECT: fails if the object needs more than memcpy and memset.
"$1" -u "$2" | awk '$2 != "memcpy" && $2 != "memset" { print "needs " $2; bad = 1 } END { exit bad }'
