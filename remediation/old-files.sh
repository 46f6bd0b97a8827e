#!/usr/bin/env bash
# Removes files that have grown old, from one folder and from nowhere else.
#
#   old-files.sh look   FOLDER SECONDS PATTERN... [--keep PATTERN...]     status 0 when there are any, 1 when there are none
#   old-files.sh remove FOLDER SECONDS PATTERN... [--keep PATTERN...]
#
# Only plain files of FOLDER's own file system that were not changed for SECONDS, whose name fits a PATTERN and none behind
# --keep. Links are neither followed nor removed, and what a process holds open stays: its room would not come back. A folder
# that holds what users or releases own (facts.paths: uploads, models, backups, …), or lies in it, is refused.
set -euo pipefail

fail() {
    echo "old-files.sh: $1" >&2
    exit 2
}

[ $# -ge 4 ] || fail "usage: old-files.sh look|remove FOLDER SECONDS PATTERN... [--keep PATTERN...]"
mode=$1 folder=$2 seconds=$3
shift 3
[[ $mode == look || $mode == remove ]] || fail "\"$mode\" should be look or remove"
[[ $seconds =~ ^[0-9]+$ ]] && [ "$seconds" -ge 3600 ] || fail "\"$seconds\" is no age in seconds, an hour at least"

none() {
    echo "nothing to remove: $1"
    [ "$mode" = remove ] || exit 1
    exit 0
}

# A folder is judged by where it really is: "//", "/x/..", and a link all lead somewhere else than they look.
[ -n "$folder" ] || none "no folder is named"
[[ $folder == /* ]] || fail "\"$folder\" should be an absolute path"
[ -d "$folder" ] || none "there is no folder \"$folder\""
real=$(realpath -e -- "$folder")
[[ $real =~ ^/[^/]+/[^/]+ ]] || fail "\"$folder\" is \"$real\", which is too high up"
case $real/ in
/home/*/*/?*/) ;;
/bin/* | /boot/* | /dev/* | /etc/* | /home/* | /lib/* | /lib32/* | /lib64/* | /proc/* | /root/ | /sbin/* | /sys/* | /usr/* | /var/lib/*)
    fail "\"$folder\" is \"$real\", which belongs to the system or to a person"
    ;;
esac
for kept in UPLOADS MODELS GOOD_MODELS BACKUPS CONFIG EVALUATION; do
    variable=RUNBOOK_FACT_PATHS_$kept
    [ -n "${!variable:-}" ] || continue
    own=$(realpath -m -- "${!variable}")
    case $own/ in "$real"/*) fail "\"$folder\" is \"$real\", which holds the $own of facts.paths.${kept,,}" ;; esac
    case $real/ in "$own"/*) fail "\"$folder\" is \"$real\", which lies in the $own of facts.paths.${kept,,}" ;; esac
done
cd -P -- "$real"
if [ "$PWD" != "$real" ] || [ . -ef / ]; then
    fail "\"$folder\" changed meanwhile"
fi

fits=(-false) keeps=()
while [ $# -gt 0 ] && [ "$1" != --keep ]; do
    fits+=(-o -name "$1")
    shift
done
for pattern in "${@:2}"; do
    keeps+=(! -name "$pattern")
done
# Of other users' processes only root sees what they hold open.
while IFS= read -r -d '' held; do
    [[ $held != "$PWD"/* || ! -f $held ]] || keeps+=(! -samefile "$held")
done < <({ find /proc/[0-9]*/fd -maxdepth 1 -lname '/*' -printf '%l\0' 2>/dev/null || true; } | sort -zu)
old=(. -xdev -type f "(" "${fits[@]}" ")" "${keeps[@]}" -mmin "+$((seconds / 60))")

if [ "$mode" = look ]; then
    found=$(find "${old[@]}" -printf '%s\n' | awk '{ bytes += $1 } END { printf "%d files, %d MiB", NR, bytes / 1048576 }')
    echo "$found in $PWD"
    [[ $found != 0\ * ]]
else
    find "${old[@]}" -delete -printf '%s\n' |
        awk -v folder="$PWD" '{ bytes += $1 } END { printf "%d files removed from %s, %d MiB\n", NR, folder, bytes / 1048576 }'
fi
