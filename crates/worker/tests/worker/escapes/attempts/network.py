# S5: the network.
for address in (("127.0.0.1", PORT), ("169.254.169.254", 80), ("1.1.1.1", 53), ("10.0.0.1", 80)):
    possible(f"connect {address}", lambda: socket.create_connection(address, 1) and "connected")
possible("send a datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)))
possible("raw packets", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
possible("frames", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
possible("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
possible("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
possible("a name", lambda: socket.getaddrinfo("example.org", 80))
# S6: Unix sockets of the machine, by path and abstract.
for address in ("/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket", "/tmp/.s.PGSQL.5432", SOCKET, DATAGRAMS, "\0" + ABSTRACT):
    possible(f"connect {address!r}", lambda: socket.socket(socket.AF_UNIX).connect(address) or "connected")
    # One end of a pair can send elsewhere, where pairs of datagrams are to be had.
    possible(f"send to {address!r}", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", address))
