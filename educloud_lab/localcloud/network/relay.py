"""Carries one connection between standard input/output and a unix socket; QEMU starts it for each metadata request.

Run bare as ``python -IS relay.py SOCKET``. Only built-in C modules are imported (7 ms from start to connected; the
``socket`` module alone costs as much again), so this file imports nothing of the package. When the socket is
refused (the cloud's process is being restarted) it ends at once: the guest sees the connection close and asks again.
"""

import posix
import sys


def main(path: str) -> int:
    """Relay until either side has closed; 1 when nobody serves the socket."""
    import _socket  # kept inside: the package may import this file to learn its path without loading them
    import select

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        return 1
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(connection.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            try:
                if descriptor == 0:
                    data = posix.read(0, 65536)
                    if not data:
                        connection.shutdown(_socket.SHUT_WR)
                        poll.unregister(0)
                        continue
                    while data:
                        data = data[connection.send(data) :]
                else:
                    data = connection.recv(65536)
                    if not data:
                        return 0
                    while data:
                        data = data[posix.write(1, data) :]
            except OSError:
                return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
