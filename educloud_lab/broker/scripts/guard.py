"""The dead-man's timer of a machine: it ends the machine by itself when nobody moves its time limit any more.

One program on the machine (POSIX shell, nothing else needed) and one line of state. Armed with an absolute time *and*
a duration, and it fires only when both are over: a wrong clock on the machine never makes it fire early, and neither
does a machine that slept: one whose time ran out in its sleep says so and waits five minutes. What is left of the
duration is written down every few minutes, so that it goes on after a reboot, then with at least a quarter of an hour,
in which the broker arms it anew after a Start.

The state lies with the machine's other marks of this lease in ``/etc/ssh/educloud``, which our images empty when a
disk becomes another instance's. Whoever is root on the machine can remove all of it; the broker's own hard limit does
not depend on it.
"""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.scripts.first_contact import ETC

PROGRAM: Final = "/usr/local/sbin/educloud-guard"
STATE: Final = f"{ETC}/guard"
BOOT_GRACE_S: Final = 900
"""After a boot it fires at the earliest so much later."""

# The shell starts one program (sleep) each round; the time is asked only when the duration is nearly over.
GUARD: Final = r"""#!/bin/sh
# educloud: ends this machine when its time is over and the broker is not there to do it.
# Whoever is root here may remove it; the broker's own limit stays.
PATH=${EDUCLOUD_PATH:+$EDUCLOUD_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C; export PATH LC_ALL
state=${EDUCLOUD_GUARD_STATE:-@STATE@}; run=${EDUCLOUD_RUN:-/run}; proc=${EDUCLOUD_PROC:-/proc}
dev=${EDUCLOUD_DEV:-/dev}
echo "$$" >"$run/educloud-guard.pid"
uptime_s() { read -r up rest <"$proc/uptime"; up=${up%%.*}; }
say() {
  for terminal in "$dev"/pts/[0-9]*; do
    [ -w "$terminal" ] && printf '\r\n%s\r\n' "$1" >"$terminal" 2>/dev/null
  done
  printf '%s\n' "$1" >"$dev/console" 2>/dev/null
}
remember() { # written whole or not at all
  printf '%s %s\n' "$sequence" "$left" >"$state.left.new" && mv "$state.left.new" "$state.left"
}
known=''; left=0; told=0; saved=0; noticed=0; shown=0
uptime_s; last=$up
while :; do
  sequence=''; until=0; length=0; grace=900; machine='-'; place=''
  [ -r "$state" ] && read -r sequence until length grace machine place <"$state"
  id='-'
  [ -r /sys/class/dmi/id/product_uuid ] && read -r id </sys/class/dmi/id/product_uuid
  uptime_s; passed=$((up - last)); last=$up
  if [ -z "$sequence" ] || { [ "$machine" != '-' ] && [ "$machine" != "$id" ]; }; then
    known=''; step=30
  else
    if [ "$sequence" = "$known" ]; then
      left=$((left - passed))
    else
      was=''; rest=''
      [ -z "$known" ] && [ -r "$state.left" ] && read -r was rest <"$state.left"
      left=$length
      if [ "$was" = "$sequence" ]; then left=$rest; [ "$left" -ge "$grace" ] || left=$grace; fi
      known=$sequence; told=0; noticed=0; saved=$left; remember
    fi
    if [ $((saved - left)) -ge 300 ]; then saved=$left; remember; fi
    step=30; remaining=$left
    if [ "$left" -le 330 ]; then
      step=5
      late=$((until - $(date +%s)))
      [ "$late" -le "$remaining" ] || remaining=$late
      [ "$remaining" -le 330 ] || step=30
      if [ "$remaining" -le 0 ]; then
        # Who slept through the end, or through what was said of it, is told first, once.
        if [ "$noticed" -ne 0 ] || { [ "$told" -ne 0 ] && [ $((shown - remaining)) -le 120 ]; }; then break; fi
        noticed=1; told=0; left=300; remaining=300
      fi
      for before in 300 60; do
        if [ "$remaining" -le "$before" ] && { [ "$told" -eq 0 ] || [ "$told" -gt "$before" ]; }; then
          told=$before
          text="educloud: this machine's time is over and nobody moved it: it turns itself off in $remaining s."
          say "$text Files in ${place:-its data volume} are saved. Keep in the notebook or the sidebar keeps it."
        fi
      done
    fi
    shown=$remaining
  fi
  sleep "$step"
done
say "educloud: this machine's time is over: it turns itself off now. Files in ${place:-its data volume} are saved."
left=0; remember
sync
[ -z "$place" ] || umount "$place" 2>/dev/null
poweroff
sleep 180
# It did not end in order: write what there is, take every file system read-only, and cut the power.
sync
for key in s u o; do echo "$key" >"$proc/sysrq-trigger"; sleep 2; done
sleep 60
""".replace("@STATE@", STATE)

_UNIT: Final = f"""[Unit]
Description=educloud: ends this machine when its time is over
[Service]
ExecStart={PROGRAM}
Restart=always
RestartSec=10s
[Install]
WantedBy=multi-user.target
"""

ARM: Final = f"""set -u
# $1 sequence: an older wish never replaces a newer one; $2 end (seconds since 1970), $3 seconds from now,
# $4 seconds that it has at least after a boot, $5 mount point or nothing
program={PROGRAM}; state={STATE}
umask 022
id='-'
[ -r /sys/class/dmi/id/product_uuid ] && read -r id </sys/class/dmi/id/product_uuid
case $id in ''|*[!A-Za-z0-9-]*) id='-' ;; esac
[ -d {ETC} ] || mkdir -p {ETC} || exit 70
was=''; armed=''
[ -r "$state" ] && read -r was armed rest <"$state"
case $was in *[!0-9]*) was='' ;; esac
case $armed in ''|*[!0-9]*) was='' ;; esac
if [ -n "$was" ] && [ "$was" -gt "$1" ]; then
  armed_until=$armed; sequence=$was
else
  printf '%s %s %s %s %s %s\\n' "$1" "$2" "$3" "$4" "$id" "$5" >"$state.new" && mv "$state.new" "$state" || exit 71
  armed_until=$2; sequence=$1
fi
here=''
[ -r "$program" ] && here=$(cat "$program")
wanted=$(cat <<'EDUCLOUD_GUARD'
{GUARD}EDUCLOUD_GUARD
)
new=no
if [ "$here" != "$wanted" ]; then
  new=yes
  mkdir -p {PROGRAM.rpartition("/")[0]}
  printf '%s\\n' "$wanted" >"$program.new" && chmod 755 "$program.new" && mv "$program.new" "$program" || exit 72
fi
pid=''
[ -r /run/educloud-guard.pid ] && read -r pid </run/educloud-guard.pid
case $pid in *[!0-9]*) pid='' ;; esac
if [ -n "$pid" ] && [ "$(cat "/proc/$pid/cmdline" 2>/dev/null | tr '\\000' ' ' | grep -c educloud-guard)" = 0 ]; then
  pid=''
fi
survives=yes
init=$(readlink /proc/1/exe)
if [ -d /run/systemd/system ]; then
  unit=/etc/systemd/system/educloud-guard.service
  if [ ! -e "$unit" ] || [ "$new" = yes ] || [ -z "$pid" ]; then
    cat >"$unit" <<'EDUCLOUD_UNIT'
{_UNIT}EDUCLOUD_UNIT
    mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -sf "$unit" /etc/systemd/system/multi-user.target.wants/educloud-guard.service
    systemctl daemon-reload && systemctl --no-block restart educloud-guard.service || exit 73
  fi
else
  case $init in
  */busybox)
    if ! grep -q "$program" /etc/inittab 2>/dev/null; then
      echo "::respawn:$program" >>/etc/inittab
      kill -HUP 1
    elif [ -z "$pid" ]; then
      kill -HUP 1
    elif [ "$new" = yes ]; then
      kill "$pid"
    fi
    ;;
  *)
    # An init that we do not know: it runs until the next boot, and is armed again by the next Start.
    survives=no
    if [ -z "$pid" ] || [ "$new" = yes ]; then
      [ -z "$pid" ] || kill "$pid"
      nohup "$program" </dev/null >/dev/null 2>&1 &
    fi
    ;;
  esac
fi
sync "$state" "$program" {ETC} 2>/dev/null || sync
echo 'educloud guard'
echo "until $armed_until"
echo "sequence $sequence"
echo "survives $survives"
echo end
"""
ARM_FORMS: Final = {"until": r"[0-9]{1,12}", "sequence": r"[0-9]{1,18}", "survives": r"yes|no"}
