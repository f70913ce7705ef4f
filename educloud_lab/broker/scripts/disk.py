"""What is done to a data disk on the machine: found, looked at, formatted once, mounted, let go.

Every script takes its values as arguments and finds the disk by its serial, never by its place in a list.
``EDUCLOUD_SYS``, ``EDUCLOUD_DEV`` and ``EDUCLOUD_PROC`` stand for ``/sys``, ``/dev`` and ``/proc`` in the tests,
which run these scripts on image files.
"""

from __future__ import annotations

from typing import Final

UUID_FORM: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# Each program that is started costs an emulated machine some 30 ms, so what the shell can read, it reads itself.
FIND: Final = """set -u
LC_ALL=C; export LC_ALL
sys=${EDUCLOUD_SYS:-/sys}; dev=${EDUCLOUD_DEV:-/dev}; proc=${EDUCLOUD_PROC:-/proc}
name=none
find_disk() { # $1 serial
  for entry in "$sys"/block/*/serial "$sys"/block/*/device/serial; do
    [ -r "$entry" ] || continue
    found=''
    read -r found <"$entry"
    [ "$found" = "$1" ] || continue
    name=${entry#"$sys"/block/}; name=${name%%/*}
    return 0
  done
  return 1
}
look_at_mounts() { # $1 mount point; sets place (of the disk) and options, covered (something is at the mount point)
  place=''; options=''; covered=no
  while read -r source where type flags rest; do
    if [ "$source" = "$dev/$name" ]; then place=$where; options=$flags; fi
    if [ "$where" = "$1" ]; then covered=yes; fi
  done <"$proc/mounts"
}
"""

_READ_SUPERBLOCK: Final = """read_superblock() { # sets written (seconds since 1970), mounts, blocks, block (bytes)
  written='-'; mounts='-'; blocks=0; block=0
  while IFS=':' read -r key value; do
    value=${value#"${value%%[! ]*}"}
    case $key in
      'Block count') blocks=$value ;;
      'Block size') block=$value ;;
      'Mount count') mounts=$value ;;
      'Last write time') written=$(date -u -d "$value" +%s 2>/dev/null) || written='-' ;;
    esac
  done <<END
$(TZ=UTC dumpe2fs -h "$disk" 2>/dev/null)
END
}
"""

# GNU cmp: 0 the same, 1 different or (it says so) at an end too early, 2 cannot be read, 127 no such program.
_LOOK_FOR_DATA: Final = """look_for_data() { # $1 bytes to pass over, $2 bytes to look at; sets zeros
  out=$(cmp -i "$1:0" -n "$2" "$disk" /dev/zero 2>&1)
  case $?,$out in
    0,) ;;
    1,*' differ: '*) [ "$zeros" = unreadable ] || zeros=no ;;
    *) zeros=unreadable ;;
  esac
}
"""

PROBE: Final = (
    FIND
    + _LOOK_FOR_DATA
    + """# $1 serial, $2 tenths of a second to wait for the disk
tries=0
until find_disk "$1"; do
  tries=$((tries + 1))
  if [ "$tries" -gt "$2" ]; then echo 'educloud probe'; echo 'disk none'; echo end; exit 0; fi
  sleep 0.1
done
disk=$dev/$name
exec 9>"${EDUCLOUD_RUN:-/run}/educloud-$name.lock"
flock -w 60 9 || exit 75
read -r sectors <"$sys/block/$name/size"
read -r readonly <"$sys/block/$name/ro"
look_at_mounts none
parts=no
for part in "$sys/block/$name/$name"*; do [ -e "$part" ] && parts=yes; done
out=$(blkid -p -o export "$disk" 2>/dev/null); status=$?
case $status in 0) seen=found ;; 2) seen=none ;; 8) seen=ambivalent ;; *) seen=error ;; esac
type='-'; uuid='-'
while IFS='=' read -r key value; do
  case $value in ''|*[!A-Za-z0-9_-]*) continue ;; esac
  case $key in TYPE) type=$value ;; UUID) uuid=$value ;; esac
done <<END
$out
END
wiped=unknown; zeros=unknown
if [ "$status" != 0 ]; then
  if out=$(wipefs -n "$disk" 2>/dev/null); then
    if [ -z "$out" ]; then wiped=none; else wiped=found; fi
  else
    wiped=error
  fi
  zeros=yes
  look_for_data 0 4194304
  look_for_data $((sectors * 512 - 1048576)) 1048576
fi
echo 'educloud probe'
echo "disk $name"
echo "size_bytes $((sectors * 512))"
echo "readonly $readonly"
echo "mounted ${place:--}"
echo "partitions $parts"
echo "blkid $seen"
echo "type $type"
echo "uuid $uuid"
echo "wipefs $wiped"
echo "zeros $zeros"
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
    "wipefs": r"none|found|error|unknown",
    "zeros": r"yes|no|unreadable|unknown",
}

FORMAT: Final = (
    FIND
    + _LOOK_FOR_DATA
    + """# $1 serial, $2 UUID, $3 size in bytes; the permit was spent before this was sent
find_disk "$1" || exit 70
disk=$dev/$name
exec 9>"${EDUCLOUD_RUN:-/run}/educloud-$name.lock"
flock -w 60 9 || exit 75
read -r sectors <"$sys/block/$name/size"
[ "$((sectors * 512))" = "$3" ] || exit 71
# A last look under the lock: nothing may have come between the probe and now.
found=$(wipefs -n "$disk" 2>/dev/null) || exit 72
[ -z "$found" ] || exit 72
zeros=yes
look_for_data 0 4194304
look_for_data $((sectors * 512 - 1048576)) 1048576
[ "$zeros" = yes ] || exit 72
mkfs.ext4 -q -m 0 -U "$2" -L educloud-data -E nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \\
  "$disk" </dev/null >/dev/null || exit 73
sync "$disk" 2>/dev/null || sync
echo 'educloud format'
echo "uuid $(blkid -p -o value -s UUID "$disk")"
echo end
"""
)
FORMAT_FORMS: Final = {"uuid": UUID_FORM}

MOUNT: Final = (
    FIND
    + _READ_SUPERBLOCK
    + """# $1 serial, $2 UUID, $3 mount point, $4 user, $5 "new" right after its mkfs on this machine
find_disk "$1" || exit 70
disk=$dev/$name
exec 9>"${EDUCLOUD_RUN:-/run}/educloud-$name.lock"
flock -w 60 9 || exit 75
uuid=$(blkid -p -o value -s UUID "$disk" 2>/dev/null)
look_at_mounts "$3"
state=mounted; written='-'; mounts='-'; extended=no
if [ "$uuid" != "$2" ]; then
  state=mismatch
elif [ -n "$place" ] && [ "$place" != "$3" ]; then
  state=elsewhere
elif [ -z "$place" ]; then
  # -p repairs only what is safe without a person; 0 and 1 are good, 4 and above need eyes.
  checked=0; block=0
  if [ "$5" != new ]; then
    read_superblock  # before anything of ours writes to it
    e2fsck -p "$disk" </dev/null >/dev/null 2>&1 9>&-; checked=$?
  fi
  if [ "$checked" -gt 1 ]; then
    state=dirty
  else
    [ -d "$3" ] || mkdir -p "$3"
    if mount -t ext4 -o nosuid,nodev,errors=remount-ro "$disk" "$3" 9>&- 2>/dev/null; then
      look_at_mounts "$3"
      case ",$options," in
        ,,) state=refused ;;
        *,ro,*) umount "$3"; state=dirty ;;
      esac
      if [ "$state" = mounted ] && [ ! -e "$3/.educloud" ]; then
        # mkfs gave it to root, with mode 0755.
        chown "$4": "$3" && : >"$3/.educloud"
      fi
      read -r sectors <"$sys/block/$name/size"
      covers=$((blocks * block + block))
      if [ "$state" = mounted ] && [ "$block" -gt 0 ] && [ "$covers" -le "$((sectors * 512))" ]; then
        # The disk grew. Mounted: then it is journalled, so that being cut off in the middle harms nothing.
        if resize2fs "$disk" </dev/null >/dev/null 2>&1 9>&-; then extended=yes; else extended=failed; fi
      fi
    else
      state=refused
    fi
  fi
fi
echo 'educloud mount'
echo "state $state"
echo "written $written"
echo "mounts $mounts"
echo "extended $extended"
echo end
"""
)
_EPOCH_FORM: Final = r"-|[0-9]{1,11}"
_COUNT_FORM: Final = r"-|[0-9]{1,5}"
MOUNT_FORMS: Final = {
    "state": r"mounted|mismatch|elsewhere|dirty|refused",
    "written": _EPOCH_FORM,
    "mounts": _COUNT_FORM,
    "extended": r"yes|no|failed",
}

RELEASE: Final = (
    FIND
    + _READ_SUPERBLOCK
    + """# $1 serial, $2 mount point, $3 message for the terminals
for terminal in "$dev"/pts/[0-9]*; do
  [ -w "$terminal" ] && printf '\\r\\n%s\\r\\n' "$3" >"$terminal" 2>/dev/null
done
find_disk "$1"
holders() { # $1 mount point
  { find "$proc"/[0-9]*/cwd "$proc"/[0-9]*/root "$proc"/[0-9]*/exe "$proc"/[0-9]*/fd -maxdepth 1 \\
      \\( -lname "$1" -o -lname "$1/*" \\) 2>/dev/null
    grep -l " $1/" "$proc"/[0-9]*/maps 2>/dev/null
  } | sed "s|^$proc/\\([0-9]*\\)/.*|\\1|" | sort -un | grep -vx "$$"
}
mounted() { look_at_mounts "$1"; [ -n "$place" ] || [ "$covered" = yes ]; }
describe() { # $1 process; says user, terminal and command line, in characters that cannot be taken for anything else
  owner=$(stat -c %U "$proc/$1" 2>/dev/null) || owner='?'
  seat='-'
  if read -r line 2>/dev/null <"$proc/$1/stat"; then
    set -- "$1" ${line##*) }
    # Field 7 of stat(5) is the terminal; major number 136 is the first of the pseudo terminals.
    case ${6:-0} in *[!0-9]*) ;; *) [ "$((${6:-0} / 256))" = 136 ] && seat=pts/$((${6:-0} % 256)) ;; esac
  fi
  command=$(tr '\\0' ' ' <"$proc/$1/cmdline" 2>/dev/null)
  [ -n "$command" ] || read -r command <"$proc/$1/comm"
  printf '%s %s %s %s' "$1" "$owner" "$seat" "$command" | tr -c 'A-Za-z0-9 ./_+=:,@-' '?' | cut -c1-120 | sed 's/ *$//'
}
state=free; written='-'; mounts='-'
pids=''
mark=${EDUCLOUD_RUN:-/run}/educloud-freeze-$name
if [ -e "$mark.pid" ]; then
  # A snapshot held it still and nobody let it go, not even its own process: what writes to it could not be ended.
  fsfreeze -u "$2" 2>/dev/null
  rm -f "$mark.state" "$mark.pid"
fi
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
  pids=''
  if mounted "$2"; then
    state=busy
    pids=$(holders "$2")
  fi
fi
if [ "$state" = free ] && [ "$name" != none ]; then
  disk=$dev/$name
  read_superblock
fi
echo 'educloud release'
echo "state $state"
echo "written $written"
echo "mounts $mounts"
count=0
for pid in $pids; do
  count=$((count + 1))
  [ "$count" -le 5 ] || break
  echo "holder$count $(describe "$pid")"
done
echo end
"""
)
RELEASE_FORMS: Final = {
    "state": r"free|busy",
    "written": _EPOCH_FORM,
    "mounts": _COUNT_FORM,
    **{f"holder{number}": r"[0-9]+ \S{1,40} \S{1,12} [A-Za-z0-9 ./_+=:,@?-]{1,120}" for number in range(1, 6)},
}
