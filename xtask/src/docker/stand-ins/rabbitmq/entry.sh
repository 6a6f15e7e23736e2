#!/bin/bash
# Configures the node from RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS; then the server runs as rabbitmq.
set -e
cat >/etc/rabbitmq/rabbitmq.conf <<CONFIGURATION
loopback_users.guest = false
listeners.tcp.default = 5672
management.tcp.port = 15672
default_user = ${RABBITMQ_DEFAULT_USER:-guest}
default_pass = ${RABBITMQ_DEFAULT_PASS:-guest}
CONFIGURATION
chown -R rabbitmq /var/lib/rabbitmq /etc/rabbitmq
export HOME=/var/lib/rabbitmq
exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups /usr/lib/rabbitmq/bin/"$@"
