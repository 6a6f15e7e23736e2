# S5: the network.
for address in (("127.0.0.1", PORT), ("169.254.169.254", 80), ("1.1.1.1", 53), ("10.0.0.1", 80)):
    possible(f"connect {address}", lambda: socket.create_connection(address, 1) and "connected")
for kind in (socket.SOCK_DGRAM,):
    with socket.socket(socket.AF_INET, kind) as datagrams:
        possible("send a datagram", lambda: datagrams.sendto(b"x", ("127.0.0.1", PORT)))
possible("raw packets", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
possible("frames", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
possible("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
possible("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
possible("a name", lambda: socket.getaddrinfo("example.org", 80))
# S6: Unix sockets of the machine, by path and abstract.
for address in ("/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket", "/tmp/.s.PGSQL.5432", SOCKET, "\0" + ABSTRACT):
    unix = socket.socket(socket.AF_UNIX)
    possible(f"connect {address!r}", lambda: unix.connect(address) or "connected")
