"""User data for the first boot, and the change from the bootstrap host key to the machine's own (I8)."""

from __future__ import annotations

from typing import Final

from educloud_lab.ports.shell import KeyPairText

ETC: Final = "/etc/ssh/educloud"
OWN_KEY: Final = "/etc/ssh/ssh_host_ed25519_key"
CONF: Final = "/etc/ssh/sshd_config.d/50-educloud.conf"


def user_data(*, bootstrap: KeyPairText, user_ca: str, login_user: str, login: str, broker: str) -> str:
    """Return the script that a new instance runs before its sshd starts (POSIX, busybox-safe).

    Parameters
    ----------
    bootstrap : host key pair for first contact only.
    user_ca : public key line of the authority that signs users.
    login_user : the person's user on the machine.
    login, broker : the principals that may log in as that user and as root (I6).
    """
    return f"""#!/bin/sh
set -eu
umask 077
mkdir -p {ETC}/principals /etc/ssh/sshd_config.d
cat > {ETC}/bootstrap_host_ed25519_key <<'EDUCLOUD_END'
{bootstrap.private.strip()}
EDUCLOUD_END
chmod 600 {ETC}/bootstrap_host_ed25519_key
printf '%s\\n' '{user_ca.strip()}' > {ETC}/user_ca.pub
printf '%s\\n' '{login}' > {ETC}/principals/{login_user}
printf '%s\\n' '{broker}' > {ETC}/principals/root
cat > {CONF} <<'EDUCLOUD_END'
HostKey {ETC}/bootstrap_host_ed25519_key
TrustedUserCAKeys {ETC}/user_ca.pub
AuthorizedPrincipalsFile {ETC}/principals/%u
EDUCLOUD_END
chmod 755 {ETC} {ETC}/principals
chmod 644 {ETC}/user_ca.pub {ETC}/principals/{login_user} {ETC}/principals/root {CONF}
"""


OWN_HOST_KEY: Final = f"""set -eu
umask 077
if [ ! -s {OWN_KEY} ] || [ ! -s {OWN_KEY}.pub ]; then
  [ ! -e {OWN_KEY} ] || rm -f {OWN_KEY} {OWN_KEY}.pub
  ssh-keygen -q -t ed25519 -N '' -C '' -f {OWN_KEY} </dev/null >/dev/null
  # Only these: the disk that is being formatted meanwhile is not waited for.
  sync {OWN_KEY} {OWN_KEY}.pub /etc/ssh 2>/dev/null || sync
fi
read -r kind key rest <{OWN_KEY}.pub
echo 'educloud own-host-key'
echo "key $kind $key"
echo end
"""
OWN_HOST_KEY_FORMS: Final = {"key": r"ssh-ed25519 [A-Za-z0-9+/=]{68}"}

SWITCH_HOST_KEY: Final = f"""set -eu
umask 022
printf 'HostKey %s\\nTrustedUserCAKeys %s\\nAuthorizedPrincipalsFile %s\\n' \\
  {OWN_KEY} {ETC}/user_ca.pub '{ETC}/principals/%u' > {CONF}.new
mv {CONF}.new {CONF}
rm -f {ETC}/bootstrap_host_ed25519_key
sync {CONF} /etc/ssh/sshd_config.d {ETC} 2>/dev/null || sync
read -r pid </run/sshd.pid
kill -HUP "$pid"
echo 'educloud switch-host-key'
echo end
"""
