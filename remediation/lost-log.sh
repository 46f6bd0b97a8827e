#!/usr/bin/env bash
# Says whether a process still writes to a log that was deleted: nobody can read that, and a restart gives it a new one.
#
#   lost-log.sh FOLDER NAME…
#
# Prints each process that has a log of one of these NAMES (or a rotated one, NAME.1) open for writing that lay in FOLDER, and
# that was written to since anybody wrote to the one that lies there now; nothing when there is none. One that is only kept open
# proves nothing. Only root sees which files processes of others have open.
set -euo pipefail

fail() {
    echo "lost-log.sh: $1" >&2
    exit 2
}

[ $# -ge 2 ] || fail "usage: lost-log.sh FOLDER NAME..."
folder=$1
shift
real=$(realpath -e -- "$folder") || fail "there is no folder \"$folder\""
[ "$(id -u)" = 0 ] || [ -O "$real" ] ||
    fail "\"$real\" belongs to $(stat -c %U -- "$real"): run it as root, or as that user"
here=$(readlink /proc/self/ns/mnt)

deleted() { # what processes have open for writing, was named $1, and is in no folder any more
    find /proc/[0-9]*/fd -maxdepth 1 -type l -perm -200 \
        \( -lname "*/$1 (deleted)" -o -lname "*/$1[.-]* (deleted)" \) 2>/dev/null || true # processes end meanwhile
}

for name in "$@"; do
    while IFS= read -r open; do
        process=${open#/proc/} process=${process%%/*}
        log=$(readlink -- "$open") || continue # it was closed since
        # In a container the folder has another name, which nobody knows here.
        [[ $log == "$real"/* || $(readlink "/proc/$process/ns/mnt" || echo "$here") != "$here" ]] || continue
        newer=$(find -H "$real" -maxdepth 1 -name "$name" -newer "$open" -print -quit) || continue
        [ -z "$newer" ] || continue
        echo "process $process writes to $log"
    done < <(deleted "$name")
done
