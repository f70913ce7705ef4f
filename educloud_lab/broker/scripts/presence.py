"""What is said on a machine's own terminals, and what the machine says about the work that is done on it."""

from __future__ import annotations

from typing import Final

# A small image has no wall(1). Only terminals that somebody is logged in at are there.
TELL: Final = """LC_ALL=C; export LC_ALL
dev=${EDUCLOUD_DEV:-/dev}
count=0
for terminal in "$dev"/pts/[0-9]*; do
  [ -w "$terminal" ] || continue
  printf '\\r\\n%s\\r\\n' "$1" >"$terminal" 2>/dev/null && count=$((count + 1))
done
echo 'educloud tell'
echo "terminals $count"
echo end
"""
TELL_FORMS: Final = {"terminals": r"[0-9]{1,6}"}

# No program is started for a process: a machine that is asked about its load must not be loaded by that. Counted are
# the processes of the person's user and those at a terminal (sudo's too), with what their ended children used.
LOAD: Final = """set -f
LC_ALL=C; export LC_ALL
proc=${EDUCLOUD_PROC:-/proc}
read -r one rest <"$proc/loadavg"
cores=0
while read -r word rest; do
  case $word in cpu[0-9]*) cores=$((cores + 1)) ;; esac
done <"$proc/stat"
read -r up rest <"$proc/uptime"
user=$(id -u -- "$1" 2>/dev/null)
ticks=0
set +f
for folder in "$proc"/[0-9]*; do
  set -f
  { read -r line <"$folder/stat"; } 2>/dev/null || continue
  # The name, in parentheses, may hold anything.
  set -- ${line##*) }
  [ $# -ge 15 ] || continue
  mine=no
  if [ "$5" != 0 ]; then
    mine=yes
  elif [ -n "$user" ]; then
    { while read -r key owner rest; do
        if [ "$key" = Uid: ]; then
          if [ "$owner" = "$user" ]; then mine=yes; fi
          break
        fi
      done <"$folder/status"; } 2>/dev/null
  fi
  if [ "$mine" = yes ]; then ticks=$((ticks + ${12} + ${13} + ${14} + ${15})); fi
done
echo 'educloud load'
echo "load $one"
echo "cores $cores"
echo "uptime $up"
echo "ticks $ticks"
echo end
"""
LOAD_FORMS: Final = {
    "load": r"[0-9]{1,6}\.[0-9]{1,4}",
    "cores": r"[0-9]{1,5}",
    "uptime": r"[0-9]{1,12}\.[0-9]{1,4}",
    "ticks": r"[0-9]{1,18}",
}
