# The greeting of an interactive login: what this machine keeps, as it is at this moment.
case "$-" in
*i*)
    _mounted=
    while read -r _device _place _rest; do
        [ "$_place" = /data ] && _mounted=$_device
    done < /proc/mounts
    if [ -n "$_mounted" ]; then
        printf 'Your files are kept in /data (%s).\n' \
            "$(df -h --output=avail /data 2>/dev/null | { read -r _; read -r _free; printf '%s free' "${_free:-?}"; })"
    else
        printf 'No volume is mounted on /data: what you write on this machine is only on its system disk.\n'
    fi
    printf 'sudo works. Here are: nano, vi, python3, curl, tmux, httpd.\n\n'
    unset _mounted _device _place _rest
    ;;
esac
