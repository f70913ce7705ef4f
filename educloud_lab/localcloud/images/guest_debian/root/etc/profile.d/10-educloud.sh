# C.UTF-8 is the only language data here; others would make every program complain.
case "$LANG" in C | POSIX | C.UTF-8 | C.utf8) ;; *) LANG=C.UTF-8 ;; esac
unset LC_ALL LC_CTYPE LC_MESSAGES LC_COLLATE LC_NUMERIC LC_TIME LC_MONETARY LANGUAGE
export LANG
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
    printf 'This is Debian %s. sudo works; so does apt, where this cloud lets machines reach out.\n\n' \
        "$(cat /etc/debian_version)"
    unset _mounted _device _place _rest
    ;;
esac
