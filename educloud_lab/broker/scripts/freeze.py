"""The data volume's file system held still while a snapshot is taken, and let go again whatever happens.

One process in the guest freezes it, sleeps, and thaws it: however slow the freezing is and whoever asked for it is gone
by then, the thaw comes so many seconds after it. That the broker's own thaw succeeds is the proof that it was frozen
until then.
"""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.scripts.disk import FIND

FREEZE: Final = (
    FIND
    + """# $1 serial, $2 mount point, $3 seconds until it thaws by itself, $4 tenths of a second to wait for the freeze
state=unmounted
if find_disk "$1"; then
  mark=${EDUCLOUD_RUN:-/run}/educloud-freeze-$name
  look_at_mounts "$2"
  if [ "$place" = "$2" ]; then
    # Most of what is to be written goes now, while programs may still write: the freeze itself is short.
    sync -f "$2" 2>/dev/null || sync
    rm -f "$mark.state" "$mark.pid"
    setsid sh -c '
      if fsfreeze -f "$1"; then
        echo frozen >"$2.state"
        sleep "$3"
        fsfreeze -u "$1" && echo late >"$2.state"
      else
        echo refused >"$2.state"
      fi
    ' sh "$2" "$mark" "$3" </dev/null >/dev/null 2>&1 &
    echo "$!" >"$mark.pid"
    state=slow
    tries=0
    while [ "$tries" -lt "$4" ]; do
      if [ -s "$mark.state" ]; then read -r state <"$mark.state"; break; fi
      tries=$((tries + 1))
      sleep 0.1
    done
  fi
fi
echo 'educloud freeze'
echo "state $state"
echo end
"""
)
FREEZE_FORMS: Final = {"state": r"frozen|late|refused|slow|unmounted"}

THAW: Final = (
    FIND
    + """# $1 serial, $2 mount point
state=late
if find_disk "$1"; then
  mark=${EDUCLOUD_RUN:-/run}/educloud-freeze-$name
  if fsfreeze -u "$2" 2>/dev/null; then
    state=thawed
    pid=''
    [ ! -r "$mark.pid" ] || read -r pid <"$mark.pid"
    # Only now: one that is still freezing has its own thaw to come.
    [ -z "$pid" ] || kill -TERM "-$pid" 2>/dev/null
    rm -f "$mark.state" "$mark.pid"
  fi
fi
echo 'educloud thaw'
echo "state $state"
echo end
"""
)
THAW_FORMS: Final = {"state": r"thawed|late"}
