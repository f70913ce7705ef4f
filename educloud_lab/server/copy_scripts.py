"""What receives and sends a file on the machine: POSIX shell, as the login user.

A copy has another name until its size and checksum are right; then it is renamed, so that nobody ever sees half a file.
Nothing but the programs that every Linux has is needed, no SFTP server either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # pydantic is loaded at first use, not with the extension
    from educloud_lab.wire.copying import DownloadRequest, UploadRequest

_COMMON: Final = r"""
LC_ALL=C
export LC_ALL
umask 077
refuse() {
  printf 'refused %s %s\n' "$1" "$2"
  exit 1
}
path=$1
case $path in
'~') path=$HOME ;;
'~/'*) path=$HOME/${path#'~/'} ;;
/*) ;;
*) path=$HOME/$path ;;
esac
"""

# $1 path, $2 name, $3 size, $4 checksum, $5 mode, $6 something that nobody else uses.
_RECEIVE: Final = (
    _COMMON
    + r"""
if [ -d "$path" ]; then
  path=${path%/}/$2
else
  case $path in */) refuse no-folder "$path" ;; esac
fi
if [ -L "$path" ]; then path=$(readlink -f -- "$path") || refuse no-folder "$path"; fi
if [ -d "$path" ]; then refuse is-folder "$path"; fi
if [ -e "$path" ] && [ ! -f "$path" ]; then refuse no-file "$path"; fi
folder=${path%/*}
folder=${folder:-/}
if [ ! -d "$folder" ]; then refuse no-folder "$folder"; fi
if [ ! -w "$folder" ] || [ ! -x "$folder" ]; then refuse permission "$folder"; fi
if [ -e "$path" ] && [ ! -w "$path" ]; then refuse permission "$path"; fi
part=${folder%/}/.educloud-$6.part
trap 'rm -f -- "$part"' EXIT
trap 'exit 1' HUP INT TERM PIPE
printf 'ready %s\n' "$path"
# Not before the space is really there: a full disk is told by the write.
if ! told=$(cat 2>&1 >"$part"); then
  case $told in
  *'No space left'*) refuse space "$folder" ;;
  *'quota exceeded'*) refuse quota "$folder" ;;
  *'Read-only'*) refuse read-only "$folder" ;;
  *) refuse failed "$told" ;;
  esac
fi
sum=$(sha256sum <"$part") || refuse failed sha256sum
if [ "$(($(wc -c <"$part")))" != "$3" ] || [ "${sum%% *}" != "$4" ]; then refuse differs "$path"; fi
chmod "$5" "$part" && mv -f -- "$part" "$path" || refuse permission "$path"
printf 'done\n'
"""
)

# $1 path.
_SEND: Final = (
    _COMMON
    + r"""
if [ -d "$path" ]; then refuse is-folder "$path"; fi
if [ ! -e "$path" ]; then refuse absent "$path"; fi
if [ ! -f "$path" ]; then refuse no-file "$path"; fi
if [ ! -r "$path" ]; then refuse permission "$path"; fi
size=$(($(wc -c <"$path")))
printf 'ready %s %s %s\n' "$size" "$(stat -L -c %a -- "$path")" "$path"
# A file that grows meanwhile (a log) is copied as long as it was.
head -c "$size" <"$path" || exit 1
sum=$(head -c "$size" <"$path" | sha256sum) || exit 1
printf 'done %s\n' "${sum%% *}"
"""
)


def receive(request: UploadRequest, unique: str) -> list[str]:
    """Return the program that receives a file on its standard input."""
    numbers = [str(request.size_bytes), request.sha256, f"{request.mode:o}", unique]
    return ["sh", "-c", _RECEIVE, "sh", request.path, request.name, *numbers]


def send(request: DownloadRequest) -> list[str]:
    """Return the program that sends a file on its standard output."""
    return ["sh", "-c", _SEND, "sh", request.path]
