"""What is done to a data disk on the machine: found, looked at, formatted once, mounted, let go.

Every script takes its values as arguments and finds the disk by its serial, never by its place in a list.
``EDUCLOUD_SYS``, ``EDUCLOUD_DEV`` and ``EDUCLOUD_PROC`` stand for ``/sys``, ``/dev`` and ``/proc`` in the tests,
which run these scripts on image files.
"""

from __future__ import annotations

from typing import Final

UUID_FORM: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_FIND: Final = """set -u
LC_ALL=C; export LC_ALL
sys=${EDUCLOUD_SYS:-/sys}; dev=${EDUCLOUD_DEV:-/dev}; proc=${EDUCLOUD_PROC:-/proc}
find_disk() {
  name=''
  for entry in "$sys"/block/*/serial "$sys"/block/*/device/serial; do
    [ -r "$entry" ] || continue
    found=$(tr -d ' \\n' <"$entry")
    [ "$found" = "$1" ] || continue
    name=${entry#"$sys"/block/}; name=${name%%/*}
    return 0
  done
  return 1
}
mounted_at() { sed -n "s|^$dev/$name \\([^ ]*\\) .*|\\1|p" "$proc/mounts" | head -n 1; }
"""

PROBE: Final = (
    _FIND
    + """# $1 serial, $2 tenths of a second to wait for the disk
tries=0
until find_disk "$1"; do
  tries=$((tries + 1))
  if [ "$tries" -gt "$2" ]; then echo 'educloud probe'; echo 'disk none'; echo end; exit 0; fi
  sleep 0.1
done
disk=$dev/$name
lock=${EDUCLOUD_RUN:-/run}/educloud-$name.lock
exec 9>"$lock"
flock -w 60 9 || exit 75
sectors=$(cat "$sys/block/$name/size")
echo 'educloud probe'
echo "disk $name"
echo "size_bytes $((sectors * 512))"
echo "readonly $(cat "$sys/block/$name/ro")"
place=$(mounted_at)
echo "mounted ${place:--}"
parts=no
for part in "$sys/block/$name/$name"*; do [ -e "$part" ] && parts=yes; done
echo "partitions $parts"
out=$(blkid -p -o export "$disk" 2>/dev/null); status=$?
case $status in
  0) echo 'blkid found' ;;
  2) echo 'blkid none' ;;
  8) echo 'blkid ambivalent' ;;
  *) echo 'blkid error' ;;
esac
type=$(printf '%s\\n' "$out" | sed -n 's/^TYPE=\\([A-Za-z0-9_]\\{1,32\\}\\)$/\\1/p' | head -n 1)
uuid=$(printf '%s\\n' "$out" | sed -n 's/^UUID=\\([A-Za-z0-9-]\\{1,64\\}\\)$/\\1/p' | head -n 1)
echo "type ${type:--}"
echo "uuid ${uuid:--}"
if out=$(wipefs -n "$disk" 2>/dev/null); then
  if [ -z "$out" ]; then echo 'wipefs none'; else echo 'wipefs found'; fi
else
  echo 'wipefs error'
fi
if [ "$status" = 0 ]; then
  echo 'zeros unknown'
else
  piece=${EDUCLOUD_RUN:-/run}/educloud-$name.piece
  zeros=yes
  dd if="$disk" bs=65536 count=64 of="$piece" 2>/dev/null || zeros=unreadable
  [ "$(wc -c <"$piece")" -eq 4194304 ] || zeros=unreadable
  [ "$zeros" = unreadable ] || [ "$(tr -d '\\000' <"$piece" | wc -c)" -eq 0 ] || zeros=no
  if [ "$zeros" = yes ]; then
    dd if="$disk" bs=512 skip=$((sectors - 2048)) count=2048 of="$piece" 2>/dev/null || zeros=unreadable
    [ "$(wc -c <"$piece")" -eq 1048576 ] || zeros=unreadable
    [ "$zeros" = unreadable ] || [ "$(tr -d '\\000' <"$piece" | wc -c)" -eq 0 ] || zeros=no
  fi
  rm -f "$piece"
  echo "zeros $zeros"
fi
echo end
"""
)
PROBE_FORMS: Final = {
    "disk": r"none|[a-z][a-z0-9]{1,15}",
    "size_bytes": r"[0-9]{1,18}",
    "readonly": r"[01]",
    "mounted": r"-|/\S{0,200}",
    "partitions": r"yes|no",
    "blkid": r"none|found|ambivalent|error",
    "type": r"-|[A-Za-z0-9_]{1,32}",
    "uuid": r"-|[A-Za-z0-9-]{1,64}",
    "wipefs": r"none|found|error",
    "zeros": r"yes|no|unreadable|unknown",
}

FORMAT: Final = (
    _FIND
    + """# $1 serial, $2 UUID, $3 size in bytes; the permit was spent before this was sent
find_disk "$1" || exit 70
disk=$dev/$name
exec 9>"${EDUCLOUD_RUN:-/run}/educloud-$name.lock"
flock -w 60 9 || exit 75
[ "$(($(cat "$sys/block/$name/size") * 512))" = "$3" ] || exit 71
# A last look under the lock: nothing may have come between the probe and now.
blkid -p "$disk" >/dev/null 2>&1; [ $? -eq 2 ] || exit 72
[ -z "$(wipefs -n "$disk" 2>/dev/null)" ] || exit 72
mkfs.ext4 -q -m 0 -U "$2" -L educloud-data -E nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \\
  "$disk" </dev/null >/dev/null || exit 73
sync
echo 'educloud format'
echo "uuid $(blkid -p -o value -s UUID "$disk")"
echo end
"""
)
FORMAT_FORMS: Final = {"uuid": UUID_FORM}

MOUNT: Final = (
    _FIND
    + """# $1 serial, $2 UUID, $3 mount point, $4 user
find_disk "$1" || exit 70
disk=$dev/$name
exec 9>"${EDUCLOUD_RUN:-/run}/educloud-$name.lock"
flock -w 60 9 || exit 75
uuid=$(blkid -p -o value -s UUID "$disk" 2>/dev/null)
place=$(mounted_at)
state=mounted
if [ "$uuid" != "$2" ]; then
  state=mismatch
elif [ -n "$place" ] && [ "$place" != "$3" ]; then
  state=elsewhere
elif [ -z "$place" ]; then
  # -p repairs only what is safe without a person; 0 and 1 are good, 4 and above need eyes.
  e2fsck -p "$disk" </dev/null >/dev/null 2>&1 9>&-; checked=$?
  if [ "$checked" -gt 1 ]; then
    state=dirty
  else
    mkdir -p "$3"
    if mount -t ext4 -o nosuid,nodev,errors=remount-ro "$disk" "$3" 9>&- 2>/dev/null; then
      if grep -q "^$dev/$name $3 ext4 ro[, ]" "$proc/mounts"; then umount "$3"; state=dirty; fi
      if [ "$state" = mounted ] && [ ! -e "$3/.educloud" ]; then
        chown "$4": "$3" && chmod 0755 "$3" && : >"$3/.educloud"
      fi
    else
      state=refused
    fi
  fi
fi
echo 'educloud mount'
echo "state $state"
echo end
"""
)
MOUNT_FORMS: Final = {"state": r"mounted|mismatch|elsewhere|dirty|refused"}

RELEASE: Final = (
    _FIND
    + """# $1 serial, $2 mount point, $3 message for the terminals
for terminal in "$dev"/pts/[0-9]*; do
  [ -w "$terminal" ] && printf '\\r\\n%s\\r\\n' "$3" >"$terminal" 2>/dev/null
done
find_disk "$1" || name=none
holders() { # $1 mount point
  { find "$proc"/[0-9]*/cwd "$proc"/[0-9]*/root "$proc"/[0-9]*/exe "$proc"/[0-9]*/fd -maxdepth 1 \\
      \\( -lname "$1" -o -lname "$1/*" \\) 2>/dev/null
    grep -l " $1/" "$proc"/[0-9]*/maps 2>/dev/null
  } | sed "s|^$proc/\\([0-9]*\\)/.*|\\1|" | sort -un | grep -vx "$$"
}
mounted() { grep -q "^$dev/$name " "$proc/mounts" || grep -q "^[^ ]* $1 " "$proc/mounts"; }
state=free
who='-'
sync
if mounted "$2"; then
  if ! umount "$2" 2>/dev/null; then
    pids=$(holders "$2")
    [ -z "$pids" ] || kill -TERM $pids 2>/dev/null
    tries=0
    until umount "$2" 2>/dev/null; do
      tries=$((tries + 1))
      [ "$tries" -lt 30 ] || break
      sleep 0.1
    done
    if mounted "$2"; then
      pids=$(holders "$2")
      [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
      sleep 0.2
      sync
      umount "$2" 2>/dev/null
    fi
  fi
  if mounted "$2"; then
    state=busy
    who=$(for pid in $(holders "$2"); do
      printf '%s(%s) ' "$(tr -cd 'A-Za-z0-9_.-' <"$proc/$pid/comm" | cut -c1-20)" "$pid"
    done | cut -c1-200)
    who=${who% }
  fi
fi
sync
echo 'educloud release'
echo "state $state"
echo "holders ${who:--}"
echo end
"""
)
RELEASE_FORMS: Final = {"state": r"free|busy", "holders": r"-|[A-Za-z0-9_.() -]{1,200}"}
