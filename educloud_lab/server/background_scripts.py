"""Runs that go on by themselves: how they are begun, listed, read and ended on the machine, as the login user.

Each has a folder in the person's cache folder. It is a session of its own, so that nothing of the connection's end
reaches it, and all of it can be ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from educloud_lab.server import run_scripts

_PLACE: Final = r"""
place=${XDG_CACHE_HOME:-$HOME/.cache}/educloud/runs
read -r boot </proc/sys/kernel/random/boot_id
"""

# In the script's shell: $1 before, $2 in the script's own fork, $3 after; $5 the folder, $6 what is kept, $7 the run's.
_LINE_1: Final = 'eval "$1"; ( eval "$2"; eval "$__educloud_text" ); eval "$3"'
_JOB_BEFORE: Final = r"""
__educloud_text=$(cat "$7/script") && __educloud_environment=$(cat "$7/environment") || exit 125
__educloud_mark() { printf 'There is no safe place for what is kept, or no such folder to begin in.\n' >&2; }
"""
_JOB_AFTER: Final = r"""
__educloud_status=$?
printf '%s\n' "$__educloud_status" >"$7/new" && mv -f "$7/new" "$7/status"
"""

# $4 nothing, $5 the folder, $6 what is kept, $7 the run's name, $8 the shell, and after it what that is given.
_BEGIN: Final = (
    run_scripts.READ
    + r"""
set -f
usual=$(umask)
umask 077
refuse() {
  printf 'refused %s\n' "$1"
  exit 1
}
command -v setsid >/dev/null || refuse setsid
command -v "$2" >/dev/null || refuse shell
mkdir -p "$place/$1" 2>/dev/null || refuse folder
cd "$place/$1" || refuse folder
printf '%s' "$__educloud_text" >script && printf '%s' "$__educloud_environment" >environment || refuse full
printf '%s\n' "$boot" >boot
: >output
date +%s >started
shell=$2
shift 2
cd
# What has ended long ago is of no use to anybody.
find "$place" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} + 2>/dev/null
umask "$usual"
setsid "$shell" "$@" "$place/$__educloud_name" </dev/null >>"$place/$__educloud_name/output" 2>&1 &
printf '%s\n' "$!" >"$place/$__educloud_name/pid"
printf 'begun %s\n' "$__educloud_name"
"""
)

_SHOW: Final = r"""
show() {
  read -r was <boot && read -r pid <pid && read -r began <started || return
  state=lost
  status=-
  if [ -r status ]; then
    state=ended
    read -r status <status
  elif [ "$was" = "$boot" ] && { read -r line </proc/$pid/stat; } 2>/dev/null; then
    set -- ${line##*) }
    # Its number may be another's by now.
    if [ "$4" = "$pid" ]; then state=running; fi
  fi
  read -r command <script
  printf 'run %s %s %s %s %s %s\n' "${PWD##*/}" "$state" "$status" "$began" "$(($(wc -c <output)))" "$PWD/output"
  printf 'command %s\n' "$command"
}
"""

LIST: Final = (
    _PLACE
    + _SHOW
    + r"""
for folder in "$place"/*/; do
  cd "$folder" 2>/dev/null && show
done
echo end
"""
)

# $1 the run's name, $2 how much of its output.
OUTPUT: Final = (
    _PLACE
    + _SHOW
    + r"""
cd "$place/$1" 2>/dev/null || exit 66
show
echo end
tail -c "$2" output
"""
)

# $1 the run's name. What it started is in its session.
STOP: Final = (
    _PLACE
    + _SHOW
    + r"""
cd "$place/$1" 2>/dev/null || exit 66
read -r was <boot
read -r session <pid
members() {
  own='' foreign=''
  for folder in /proc/[0-9]*; do
    { IFS= read -r line <"$folder/stat"; } 2>/dev/null || continue
    set -- ${line##*) }
    if [ "$4" != "$session" ] || [ "$1" = Z ]; then continue; fi
    if [ -O "$folder" ]; then own="$own ${folder#/proc/}"; else foreign="$foreign ${folder#/proc/}"; fi
  done
  [ -n "$own$foreign" ]
}
signal() {
  if [ -n "$own" ]; then kill -s "$1" $own; fi
  if [ -n "$foreign" ]; then sudo -n kill -s "$1" $foreign </dev/null; fi
}
if [ "$was" = "$boot" ] && [ ! -r status ]; then
  tries=0
  while members && [ "$tries" -lt 40 ]; do
    # Asked to at first; after two seconds it is not asked any more.
    if [ "$tries" = 0 ]; then signal TERM; elif [ "$tries" -ge 20 ]; then signal KILL; fi
    sleep 0.1
    tries=$((tries + 1))
  done 2>/dev/null
  if [ ! -r status ]; then echo 143 >new && mv -f new status; fi
fi
show
echo end
"""
)


def command(shell: str, name: str, *, folder: str | None, keep: str | None) -> list[str]:
    """Return the program that begins a run; the script comes as `run_scripts.script_input`."""
    plain = ["--norc", "--noprofile"] if shell == "bash" else []
    job: Sequence[str] = [
        *plain,
        "-c",
        _LINE_1,
        shell,
        _JOB_BEFORE,
        run_scripts.CHILD,
        _JOB_AFTER,
        "",
        folder or "",
        keep or "",
    ]
    begin = f"__educloud_name=$1\n{_PLACE}{_BEGIN}"
    return ["sh", "-c", begin, "sh", name, shell, *job]
