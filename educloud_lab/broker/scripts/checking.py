"""How a machine is asked about itself for checks: fixed scripts, what is asked for travels as arguments.

POSIX and safe for busybox. What is text of the student's (a file, a command's output) comes back in base64, cut to a
size. ``EDUCLOUD_SYS``, ``EDUCLOUD_DEV``, ``EDUCLOUD_PROC`` and ``EDUCLOUD_ETC`` stand for the folders in the tests.
"""

from __future__ import annotations

from typing import Final

MOST_TEXT_BYTES: Final = 32 * 1024
_TEXT_FORM: Final = r"[A-Za-z0-9+/=]{0,46000}"

# bash's own connections need no further program; python3 and nc stand in for it on smaller systems.
PORT: Final = r"""LC_ALL=C; export LC_ALL
# $1 host, $2 port, $3 seconds, $4 "ask" to hear what it says
proc=${EDUCLOUD_PROC:-/proc}
state=unknown; text=''; own=no
if grep -q -- "|-- $1\$" "$proc/net/fib_trie" 2>/dev/null; then own=yes; fi
case $1 in
  *[!0-9.]*)
    if command -v getent >/dev/null 2>&1 && ! timeout "$3" getent hosts "$1" >/dev/null 2>&1; then
      state=unresolved
    fi ;;
esac
if [ "$state" = unknown ]; then
  if command -v bash >/dev/null 2>&1; then
    timeout "$3" bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 1' "$1" "$2" >/dev/null 2>&1; status=$?
    if [ "$status" = 0 ] && [ "$4" = ask ]; then
      text=$(timeout "$3" bash -c '
        exec 3<>"/dev/tcp/$0/$1" || exit 1
        printf "GET / HTTP/1.0\r\nHost: %s\r\n\r\n" "$0" >&3
        cat <&3' "$1" "$2" 2>/dev/null | head -c 32768 | base64 | tr -d '\n')
    fi
  elif command -v python3 >/dev/null 2>&1; then
    timeout "$3" python3 -c 'import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])))' "$1" "$2" >/dev/null 2>&1; status=$?
    if [ "$status" = 0 ] && [ "$4" = ask ]; then
      text=$(timeout "$3" python3 -c 'import os, socket, sys
line = socket.create_connection((sys.argv[1], int(sys.argv[2])))
line.sendall(f"GET / HTTP/1.0\r\nHost: {sys.argv[1]}\r\n\r\n".encode())
while data := line.recv(4096):
    os.write(1, data)' "$1" "$2" 2>/dev/null | head -c 32768 | base64 | tr -d '\n')
    fi
  elif nc -h 2>&1 | grep -q -e '-z'; then
    timeout "$3" nc -z "$1" "$2" </dev/null >/dev/null 2>&1; status=$?
    if [ "$status" = 0 ] && [ "$4" = ask ]; then
      text=$(printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" | timeout "$3" nc "$1" "$2" 2>/dev/null |
        head -c 32768 | base64 | tr -d '\n')
    fi
  else
    status=none
  fi
  case $status in 0) state=open ;; none) ;; 124|137|143) state=silent ;; *) state=refused ;; esac
fi
echo 'educloud check-port'
echo "state $state"
echo "own $own"
echo "text $text"
echo end
"""
PORT_FORMS: Final = {
    "state": r"open|refused|silent|unresolved|unknown",
    "own": r"yes|no",
    "text": _TEXT_FORM,
}

PING: Final = r"""LC_ALL=C; export LC_ALL
# $1 host, $2 seconds
state=unknown
if command -v ping >/dev/null 2>&1; then
  state=silent
  case $1 in
    *[!0-9.]*)
      if command -v getent >/dev/null 2>&1 && ! timeout "$2" getent hosts "$1" >/dev/null 2>&1; then
        state=unresolved
      fi ;;
  esac
  # One answer is enough: a network's first packet may be lost to the search for an address.
  tries=0
  while [ "$state" = silent ] && [ "$tries" -lt 2 ]; do
    tries=$((tries + 1))
    if ping -c 1 -W "$2" "$1" >/dev/null 2>&1; then state=answers; fi
  done
fi
echo 'educloud check-ping'
echo "state $state"
echo end
"""
PING_FORMS: Final = {"state": r"answers|silent|unresolved|unknown"}

FILE: Final = r"""LC_ALL=C; export LC_ALL
# $1 path, $2 login user, $3 text to look for ('' for none)
etc=${EDUCLOUD_ETC:-/etc}
path=$1
case $path in
  '~/'*)
    home=/nonexistent
    while IFS=: read -r name secret user group about folder shell; do
      if [ "$name" = "$2" ]; then home=$folder; fi
    done <"$etc/passwd"
    path=$home/${path#'~/'} ;;
esac
kind=none; owner='-'; mode='-'; size=0; holds='-'
if [ -d "$path" ]; then kind=folder
elif [ -f "$path" ]; then kind=file
elif [ -e "$path" ]; then kind=other
elif [ -L "$path" ]; then kind=dangling
fi
case $kind in
  file|folder|other)
    if told=$(stat -L -c '%U %a %s' "$path" 2>/dev/null); then
      owner=${told%% *}; told=${told#* }; mode=${told%% *}; size=${told#* }
    fi ;;
esac
if [ "$kind" = file ] && [ -n "$3" ]; then
  holds=no
  if [ ! -r "$path" ]; then holds=unreadable
  elif head -c 1048576 "$path" 2>/dev/null | grep -a -q -F -e "$3" 2>/dev/null ||
    head -c 1048576 "$path" 2>/dev/null | grep -q -F -e "$3" 2>/dev/null; then holds=yes
  fi
fi
echo 'educloud check-file'
echo "kind $kind"
echo "owner $owner"
echo "mode $mode"
echo "size $size"
echo "holds $holds"
echo end
"""
FILE_FORMS: Final = {
    "kind": r"none|folder|file|other|dangling",
    "owner": r"[A-Za-z0-9_.$-]{1,64}",
    "mode": r"-|[0-7]{1,4}",
    "size": r"[0-9]{1,18}",
    "holds": r"-|yes|no|unreadable",
}

MOUNTED: Final = r"""LC_ALL=C; export LC_ALL
# $1 mount point, $2 serial of the disk that should be there ('' for none)
sys=${EDUCLOUD_SYS:-/sys}; dev=${EDUCLOUD_DEV:-/dev}; proc=${EDUCLOUD_PROC:-/proc}
disk=none; source='-'; type='-'; device='-'; same=no
if [ -n "$2" ]; then
  for entry in "$sys"/block/*/serial "$sys"/block/*/device/serial; do
    [ -r "$entry" ] || continue
    found=''
    read -r found <"$entry"
    if [ "$found" = "$2" ]; then disk=${entry#"$sys"/block/}; disk=${disk%%/*}; break; fi
  done
fi
# The last one counts: it covers what was mounted there before.
while read -r id parent number root where rest; do
  if [ "$where" = "$1" ]; then
    rest=${rest#* - }; type=${rest%% *}; rest=${rest#* }; source=${rest%% *}; device=$number
  fi
done <"$proc/self/mountinfo"
# By the kernel's number of the disk: what a mount calls its source is whatever the one who mounted it said.
if [ "$disk" != none ]; then
  for entry in "$sys/block/$disk/dev" "$sys/block/$disk/$disk"*/dev; do
    [ -r "$entry" ] || continue
    found=''
    read -r found <"$entry"
    if [ "$found" = "$device" ]; then same=yes; fi
  done
  # btrfs has numbers of its own, and lets only root say what its source is.
  case $type:$source in
    "btrfs:$dev/$disk"|"btrfs:$dev/$disk"[0-9]*|"btrfs:$dev/$disk"p[0-9]*) same=yes ;;
  esac
fi
echo 'educloud check-mounted'
echo "disk $disk"
echo "source $source"
echo "type $type"
echo "same $same"
echo end
"""
MOUNTED_FORMS: Final = {
    "disk": r"none|[a-z][a-z0-9]{1,15}",
    "source": r"\S{1,255}",
    "type": r"[\w.-]{1,32}",
    "same": r"yes|no",
}

# setpriv starts no session as su does; where it is too old or missing, su is on every system.
COMMAND: Final = r"""# $1 user, $2 command, $3 seconds
text=$(
  {
    if setpriv --help 2>/dev/null | grep -q -e --init-groups; then
      timeout -s KILL "$3" setpriv --reuid "$1" --regid "$(id -g "$1")" --init-groups --reset-env \
        sh -c 'cd && exec "${SHELL:-/bin/sh}" -l -c "$0"' "$2" </dev/null 2>&1
    else
      timeout -s KILL "$3" su - "$1" -c "$2" </dev/null 2>&1
    fi
    printf '\n%s' "$?"
  } | tail -c 32800 | base64 | tr -d '\n'
)
echo 'educloud check-command'
echo "text $text"
echo end
"""
COMMAND_FORMS: Final = {"text": _TEXT_FORM}

PROCESS: Final = r"""set -f
# $1 name; the kernel cuts names to 15 characters
proc=${EDUCLOUD_PROC:-/proc}
wanted=$(printf '%.15s' "$1")
count=0
set +f
for folder in "$proc"/[0-9]*; do
  name=''
  { read -r name <"$folder/comm"; } 2>/dev/null || continue
  [ "$name" = "$wanted" ] || continue
  line=''
  { read -r line <"$folder/stat"; } 2>/dev/null || :
  case ${line##*) } in [ZX]*) continue ;; esac  # it has ended, and nobody has asked how
  count=$((count + 1))
done
echo 'educloud check-process'
echo "count $count"
echo end
"""
PROCESS_FORMS: Final = {"count": r"[0-9]{1,6}"}

SERVICE: Final = r"""LC_ALL=C; export LC_ALL
# $1 name
run=${EDUCLOUD_RUN:-/run}
by=none; state=unknown
if [ -d "$run/systemd/system" ]; then
  by=systemd
  state=$(systemctl is-active -- "$1" 2>/dev/null | head -n 1)
elif command -v rc-service >/dev/null 2>&1; then
  by=openrc
  if rc-service "$1" status >/dev/null 2>&1; then state=active; else state=inactive; fi
fi
echo 'educloud check-service'
echo "by $by"
echo "state ${state:-unknown}"
echo end
"""
SERVICE_FORMS: Final = {"by": r"none|systemd|openrc", "state": r"[a-z-]{1,32}"}

PACKAGE: Final = r"""LC_ALL=C; export LC_ALL
# $1 name
record=${EDUCLOUD_DPKG:-/var/lib/dpkg/status}
by=none; state=missing
if command -v dpkg-query >/dev/null 2>&1; then
  by=dpkg
  case $(dpkg-query -W -f '${Status}' -- "$1" 2>/dev/null) in *' installed') state=installed ;; esac
elif command -v apk >/dev/null 2>&1; then
  by=apk
  if apk info -e "$1" >/dev/null 2>&1; then state=installed; fi
elif [ -r "$record" ]; then
  by=record
  here=no
  while IFS= read -r line; do
    case $line in
      "Package: $1") here=yes ;;
      'Status: '*' installed') if [ "$here" = yes ]; then state=installed; fi ;;
      '') here=no ;;
    esac
  done <"$record"
elif { [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; } && command -v rpm >/dev/null 2>&1; then
  by=rpm  # busybox has an rpm everywhere, and a package database nowhere
  if rpm -q -- "$1" >/dev/null 2>&1; then state=installed; fi
fi
echo 'educloud check-package'
echo "by $by"
echo "state $state"
echo end
"""
PACKAGE_FORMS: Final = {"by": r"none|dpkg|rpm|apk|record", "state": r"installed|missing"}

USER: Final = r"""LC_ALL=C; export LC_ALL
# $1 name, $2 group ('' for none)
exists=no; member=no
if id -u "$1" >/dev/null 2>&1; then
  exists=yes
  for group in $(id -G -n "$1" 2>/dev/null); do
    if [ "$group" = "$2" ]; then member=yes; fi
  done
fi
echo 'educloud check-user'
echo "exists $exists"
echo "member $member"
echo end
"""
USER_FORMS: Final = {"exists": r"yes|no", "member": r"yes|no"}
