#!/usr/bin/env bash
# Says whether the file system of a folder is nearly full: only then does it help to remove something from that folder.
#
#   is-full.sh bytes|inodes SHARE FOLDER [BESIDE]
#
# Status 0 when SHARE of it (0.85) is used, or when it is the one that BESIDE lies on; 1 when not, or there is no such folder.
set -euo pipefail

fail() {
    echo "is-full.sh: $1" >&2
    exit 2
}

[ $# -eq 3 ] || [ $# -eq 4 ] || fail "usage: is-full.sh bytes|inodes SHARE FOLDER [BESIDE]"
case $1 in
bytes) columns=used,avail ;;
inodes) columns=iused,iavail ;;
*) fail "\"$1\" should be bytes or inodes" ;;
esac
share=$2 folder=$3 beside=${4:-}
[[ $share =~ ^-?[0-9]+(\.[0-9]+)?$ ]] || fail "\"$share\" is no share"
[ -n "$folder" ] && [ -d "$folder" ] || {
    echo "there is no folder \"$folder\""
    exit 1
}
if [ -n "$beside" ] && [ -d "$beside" ] && [ "$(stat -Lc %d -- "$folder")" = "$(stat -Lc %d -- "$beside")" ]; then
    echo "\"$folder\" lies on the file system of \"$beside\""
    exit 0
fi
# As the check reckons: of what ordinary users can use. A file system without a fixed number of inodes shows "-".
df --block-size=1 --output="$columns" -- "$folder" | tail -n 1 | awk -v share="$share" -v folder="$folder" '
    $1 + $2 > 0 { used = $1 / ($1 + $2); full = used >= share; printf "%.1f %% in use where %s lies\n", 100 * used, folder }
    END { exit !full }'
