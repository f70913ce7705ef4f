"""What runs around a person's script on the machine: POSIX shell, as the login user.

The script comes over standard input, never as an argument: others would see it in the list of processes, and
``pkill -f word`` in it would end the shell that runs it. After it, standard input carries one signal's name a line; its
end means that nobody is there any more. sshd itself refuses to signal commands of root and tells nobody that a
connection was lost, so a supervisor beside the script does both, to everything in the session (sshd makes one for each
command), also with another process group (timeout) or another owner (sudo).

The script runs in a forked shell, not a new program, and in line 1 of its text, so that its errors name its own lines.
Its end is marked in both streams: what it left running in the background may hold them open for hours. END is the
answer to that.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

# $1 before, $2 in the script's shell, $3 after; $4 the mark, $5 the folder, $6 the name of what is kept.
_LINE_1: Final = 'eval "$1"; ( eval "$2"; eval "$__educloud_text" ) 2>&4 </dev/null 3<&- 4>&-; eval "$3"'

READ: Final = r"""
__educloud_end='
'
__educloud_lines() {
  __educloud_text='' __educloud_part='' __educloud_count=0
  while [ "$__educloud_count" -lt "$1" ]; do
    IFS= read -r __educloud_line || exit 125
    __educloud_part=$__educloud_part$__educloud_line$__educloud_end
    __educloud_count=$((__educloud_count + 1))
    # Not onto the whole text each time: that would be quadratic.
    if [ $((__educloud_count % 100)) = 0 ]; then
      __educloud_text=$__educloud_text$__educloud_part
      __educloud_part=''
    fi
  done
  __educloud_text=$__educloud_text$__educloud_part
}
read -r __educloud_first __educloud_second || exit 125
__educloud_lines "$__educloud_first"
__educloud_environment=$__educloud_text
__educloud_lines "$__educloud_second"
"""

# Of a shell's asynchronous lists: SIGINT is ignored in them, and their standard input has to be named.
_SUPERVISE: Final = r"""
exec 3<&0 4>&2 </dev/null 2>/dev/null
trap : INT TERM HUP
__educloud_supervise() {
  trap '' INT TERM HUP PIPE
  set -f
  while IFS= read -r wish; do
    case $wish in
    INT)
      __educloud_signal INT
      __educloud_again
      ;;
    TERM | KILL) __educloud_signal "$wish" ;;
    END) exit ;;
    esac
  done
  # The end of input without END: whoever wanted the output has gone.
  __educloud_signal TERM
  tries=0
  while [ "$tries" -lt 20 ] && __educloud_others; do
    sleep 0.1
    tries=$((tries + 1))
  done
  __educloud_signal KILL
  kill -s KILL "$$"
}
# All processes of the session but this one and the shell that waits for the script: own ones, and others'.
__educloud_others() {
  own='' foreign=''
  read -r me rest </proc/self/stat
  set +f
  for folder in /proc/[0-9]*; do
    set -f
    pid=${folder#/proc/}
    if [ "$pid" = "$$" ] || [ "$pid" = "$me" ]; then continue; fi
    { IFS= read -r line <"$folder/stat"; } 2>/dev/null || continue
    # The name, in parentheses, may hold anything.
    set -- ${line##*) }
    if [ "$4" != "$$" ] || [ "$1" = Z ]; then continue; fi
    if [ -n "$grouped" ] && [ "$3" = "$$" ] && [ -O "$folder" ]; then continue; fi
    if [ -O "$folder" ]; then own="$own $pid"; else foreign="$foreign $pid"; fi
  done
  set -f
  [ -n "$own$foreign" ]
}
__educloud_signal() {
  tries=0
  # The command's own process group at one moment: looking through all processes takes so long that one which is born
  # meanwhile would be missed, and a shell that waits for it would go on waiting. Both shells of ours heed neither.
  if [ "$1" != KILL ]; then
    kill -s "$1" -- "-$$"
    grouped=yes
  fi
  while __educloud_others && [ "$tries" -lt 5 ]; do
    unset IFS
    if [ -n "$own" ]; then kill -s "$1" $own; fi
    if [ -n "$foreign" ]; then sudo -n kill -s "$1" $foreign </dev/null; fi
    # What is killed has children that were being born.
    if [ "$1" != KILL ]; then break; fi
    tries=$((tries + 1))
  done
  grouped=''
}
# What was just being born, or made into another program, when it was interrupted may have lost that, and the shell that
# waits for it then waits on. Whatever lives on without catching or ignoring interrupts (2 in the masks) had none.
__educloud_again() {
  sleep 0.2
  __educloud_others
  for pid in $own; do
    heeds=''
    while read -r key value; do
      case $key$value in
      SigIgn:*[2367abef] | SigCgt:*[2367abef]) heeds=yes ;;
      CapInh:*) break ;;
      esac
    done <"/proc/$pid/status"
    if [ -z "$heeds" ]; then kill -s INT "$pid"; fi
  done
}
grouped=''
__educloud_supervise <&3 >/dev/null 4>&- &
__educloud_supervisor=$!
"""

_MARK: Final = r"""
__educloud_mark() { printf '\000%s %s\000' "$__educloud_nonce" "$*"; }
"""

# A state is two files in the person's own folder, which a restart of the machine makes worthless by its name.
_KEEP: Final = r"""
cd 2>/dev/null
LANG=${LANG:-C.UTF-8}
export LANG
__educloud_refuse() {
  __educloud_mark refused "$1"
  trap - EXIT
  exit 1
}
if [ -n "$6" ]; then
  read -r __educloud_boot </proc/sys/kernel/random/boot_id
  __educloud_kept=/tmp/educloud-$(id -u)-$__educloud_boot
  mkdir -m 700 "$__educloud_kept" 2>/dev/null
  if [ ! -d "$__educloud_kept" ] || [ -L "$__educloud_kept" ] || [ ! -O "$__educloud_kept" ]; then
    __educloud_refuse keep
  fi
  __educloud_kept=$__educloud_kept/$6
  if [ -r "$__educloud_kept.environment" ]; then . "$__educloud_kept.environment"; fi
  if [ -z "$5" ] && [ -r "$__educloud_kept.folder" ]; then
    IFS= read -r __educloud_place <"$__educloud_kept.folder"
    cd -- "$__educloud_place" 2>/dev/null ||
      printf '%s\n' "The kept folder $__educloud_place is gone; this begins in $HOME." >&2
  fi
  __educloud_keep() {
    (
      __educloud_new=$__educloud_kept.$$
      umask 077
      pwd >"$__educloud_new.folder" && mv -f "$__educloud_new.folder" "$__educloud_kept.folder"
      set +u
      unset OLDPWD PWD SHLVL SSH_CLIENT SSH_CONNECTION SSH_TTY _
      # Only so does bash write what any shell can read.
      if [ -n "$BASH_VERSION" ]; then set -o posix; fi
      export -p >"$__educloud_new.environment" && mv -f "$__educloud_new.environment" "$__educloud_kept.environment"
    ) </dev/null >/dev/null 2>&1
  }
  trap __educloud_keep EXIT
  if [ -z "$BASH_VERSION" ]; then trap 'exit 130' INT; trap 'exit 143' TERM; fi
fi
eval "$__educloud_environment"
case $5 in
'') ;;
'~') cd || __educloud_refuse folder ;;
'~/'*) cd -- "$HOME/${5#'~/'}" 2>/dev/null || __educloud_refuse folder ;;
/*) cd -- "$5" 2>/dev/null || __educloud_refuse folder ;;
*) cd -- "$HOME/$5" 2>/dev/null || __educloud_refuse folder ;;
esac
"""

# bash only: in other shells a variable that is set for one call of a function stays set.
_NO_INPUT: Final = r"""
if [ -n "$BASH_VERSION" ]; then
  read() {
    if [[ " $* " != *" -u"* && /dev/stdin -ef /dev/null ]]; then
      printf '%s\n' "read: nobody can type into this: its input is empty." \
        "Put the input into the cell (read answer <<<yes), or use the machine's terminal." >&2
      return 1
    fi
    builtin read "$@"
  }
fi
"""

_CLEAN: Final = r"""
set --
unset -f __educloud_lines __educloud_supervise __educloud_others __educloud_signal __educloud_again __educloud_refuse
unset -f __educloud_mark
unset grouped
unset __educloud_part __educloud_line __educloud_environment __educloud_first __educloud_second __educloud_count
unset __educloud_supervisor __educloud_end __educloud_nonce __educloud_boot __educloud_place
# Before its first line, so that its lines keep their numbers.
__educloud_text="unset __educloud_text; $__educloud_text"
"""

_AFTER: Final = r"""
__educloud_status=$?
__educloud_mark ended "$__educloud_status"
__educloud_mark ended "$__educloud_status" >&4
# sshd ends the supervisor's input when this ends, which would look as if nobody were there any more.
wait "$__educloud_supervisor"
exit "$__educloud_status"
"""

# An sshd that was itself begun in the background of a script ignores SIGINT, and so does all that it begins: a shell
# cannot change that for itself, coreutils' env can.
_HEED: Final = r"""
while read -r __educloud_first __educloud_second; do
  case $__educloud_first in SigIgn:) break ;; esac
done </proc/self/status
case $__educloud_second in
*[2367abef])
  if [ -z "$EDUCLOUD_HEEDS" ] && env --default-signal=INT true 2>/dev/null; then
    case $0 in bash) set -- --norc --noprofile -c "$7" "$0" "$@" ;; *) set -- -c "$7" "$0" "$@" ;; esac
    exec env --default-signal=INT,QUIT EDUCLOUD_HEEDS=yes "$0" "$@"
  fi
  ;;
esac
unset EDUCLOUD_HEEDS
"""
_BEFORE: Final = _HEED + "__educloud_nonce=$4\n" + READ + _MARK + _SUPERVISE
CHILD: Final = _KEEP + _NO_INPUT + _CLEAN
"""What is done in the script's own shell before it: $5 and $6 as above."""


def command(shell: str, *, nonce: str, folder: str | None, keep: str | None) -> list[str]:
    """Return the program that runs a script, which comes as `script_input`."""
    plain = ["--norc", "--noprofile"] if shell == "bash" else []
    return [shell, *plain, "-c", _LINE_1, shell, _BEFORE, CHILD, _AFTER, nonce, folder or "", keep or "", _LINE_1]


def script_input(script: str, environment: Mapping[str, str]) -> bytes:
    """Return what the program reads first: how many lines, then the environment and the script."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    text = script if script.endswith("\n") else script + "\n"
    head = f"{exports.count(chr(10))} {text.count(chr(10))}\n"
    return (head + exports + text).encode(errors="surrogateescape")
