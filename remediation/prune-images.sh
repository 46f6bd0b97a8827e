#!/usr/bin/env bash
# Removes images that have no name any more, and layers of old builds; never an image with a tag: the one that runs and the one
# to go back to have one.
#
#   prune-images.sh look      status 0 when there is a container engine to ask, 1 when there is none
#   prune-images.sh folder    where it keeps them, nothing when it is not on this machine
#   prune-images.sh remove
#
# RUNBOOK_FACT_DEPLOY_ENGINE names the engine, empty: none. RUNBOOK_LIMIT_FILES_LAYERS_AGE: seconds; what is younger stays.
set -euo pipefail

engine=${RUNBOOK_FACT_DEPLOY_ENGINE:-}
seconds=${RUNBOOK_LIMIT_FILES_LAYERS_AGE:?}
hours=$((${seconds%.*} / 3600))
case ${1:-} in
look)
    [ -n "$engine" ] && "$engine" image ls --filter dangling=true
    ;;
folder)
    # docker and podman have different words for it.
    folder=$("$engine" info --format '{{.DockerRootDir}}' 2>/dev/null || "$engine" info --format '{{.Store.GraphRoot}}' 2>/dev/null || true)
    if [ -d "$folder" ]; then echo "$folder"; fi
    ;;
remove)
    [ -n "$engine" ] || { echo "no container engine is named"; exit 0; }
    "$engine" image prune --force --filter "until=${hours}h"
    if "$engine" builder prune --help >/dev/null 2>&1; then
        "$engine" builder prune --force --filter "until=${hours}h"
    fi
    ;;
*)
    echo "prune-images.sh: usage: prune-images.sh look|folder|remove" >&2
    exit 2
    ;;
esac
