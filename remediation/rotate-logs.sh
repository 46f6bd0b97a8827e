#!/usr/bin/env bash
# Moves log files that have grown too large aside, and compresses what nobody writes to any more; no line is lost.
#
#   rotate-logs.sh look   FOLDER BYTES      status 0 when a log is larger, 1 when none is
#   rotate-logs.sh rotate FOLDER BYTES
#
# A log that a process still has open was moved together with its name: the process goes on writing to it until it is restarted
# or told to open its log anew. Such a file is named, and left uncompressed until the next call. Only root sees who has the
# files of others open, and can make a new one for them: of others' files everybody else leaves his hands.
set -euo pipefail

fail() {
    echo "rotate-logs.sh: $1" >&2
    exit 2
}

[ $# -eq 3 ] || fail "usage: rotate-logs.sh look|rotate FOLDER BYTES"
mode=$1 folder=$2 bytes=$3
[[ $mode == look || $mode == rotate ]] || fail "\"$mode\" should be look or rotate"
[[ $bytes =~ ^[0-9]+$ ]] && [ "$bytes" -gt 0 ] || fail "\"$bytes\" is no size in bytes"
[[ $folder == /* ]] || fail "\"$folder\" should be an absolute path"
real=$(realpath -e -- "$folder")
[[ $real =~ ^/[^/]+/[^/]+ && ! $real =~ ^/(bin|boot|dev|etc|lib|lib32|lib64|proc|sbin|sys|usr|var/lib)/ ]] ||
    fail "\"$folder\" is \"$real\", which is no folder of logs"
cd -P -- "$real"

large() {
    find . -xdev -type f -name '*.log*' ! -name '*.gz' ! -name '*.xz' ! -name '*.bz2' ! -name '*.zst' \
        -size "+$((bytes - 1))c" "$@"
}

open_in() { # ids of the processes that have the file $1 open, as far as we may see
    { find -L /proc/[0-9]*/fd -maxdepth 1 -samefile "$1" -printf '%h\n' 2>/dev/null || true; } |
        cut -d/ -f3 | sort -u | paste -sd' '
}

if [ "$mode" = look ]; then
    large -printf '%s bytes\n' | sort -n | tail -n 20
    [ -n "$(large -print -quit)" ]
    exit
fi

moment=$(date +%Y%m%dT%H%M%S)
rotated=0 held=0
while IFS= read -r -d '' file; do
    [ "$(id -u)" = 0 ] || [ -O "$file" ] || fail "\"$real/${file#./}\" belongs to $(stat -c %U -- "$file"): run it as root, or as that user"
    case $file in
    *.log)
        aside=$file.$moment
        mv -n -- "$file" "$aside"
        ;;
    *) aside=$file ;; # it was moved aside before, and is large still
    esac
    if [ "$aside" != "$file" ]; then
        # The new one belongs to whom the old one belonged, with the same rights; who opened it meanwhile made it himself.
        if (set -o noclobber && : >"$file") 2>/dev/null; then
            chmod --reference="$aside" -- "$file"
            chown --no-dereference --reference="$aside" -- "$file" || echo "\"$file\" is of another group than before"
        fi
    fi
    processes=$(open_in "$aside")
    if [ -n "$processes" ]; then
        held=$((held + 1))
        printf 'still written by process %s, and so not compressed: %q\n' "$processes" "$aside"
        continue
    fi
    gzip -- "$aside"
    rotated=$((rotated + 1))
done < <(large -print0)
echo "$rotated logs in $PWD moved aside and compressed, $held moved aside and still written"
