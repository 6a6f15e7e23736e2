# What a shell can try with the programs of a machine. Whatever succeeds is a hole, and is said.
try() {
    what=$1
    shift
    if "$@" > /dev/null 2>&1; then echo "$what"; fi
}
# Nothing is written: at `landlock` it would be the machine's.
into() { true >> "$1"; }
own=${HOME%/*}

# S1, S2: files of the machine.
for file in /etc/shadow /etc/hostname /etc/machine-id "$CANARY"; do
    try "read $file" cat "$file"
done
root=/root
for folder in "$root/.ssh" /home /var/lib /var/log /mnt /opt /srv "${CANARY%/*}"; do
    try "list $folder" ls "$folder"
done
for file in /etc/passwd /etc/hosts /etc/resolv.conf /etc/ld.so.preload /etc/profile /usr/bin/env /bin/sh "$CANARY"; do
    try "write $file" into "$file"
done
for folder in / /etc /etc/profile.d /etc/cron.d /var/spool/cron /usr /usr/bin /usr/local/bin /dev /proc /run /var; do
    try "make a file in $folder" touch "$folder/made-by-a-task"
done
# S3: other processes.
for file in environ mem maps root cwd fd; do
    try "open /proc/1/$file" ls "/proc/1/$file/"
    try "read /proc/1/$file" cat "/proc/1/$file"
done
for process in /proc/[0-9]*; do
    case ${process#/proc/} in
    1 | $$) ;;
    # At `landlock` there is nothing to be listed.
    '[0-9]*') ;;
    *) echo "process $process is seen" ;;
    esac
done
# S12, S13: what outlives a task, and what others are.
if [ "$SIGNALS_KEPT" = 1 ]; then
    for pid in 1 $PPID; do
        [ "$pid" = 0 ] || try "signal $pid" kill -9 "$pid"
    done
fi
try 'a table of times' sh -c 'echo "* * * * * true" | crontab -'
try 'a later time' sh -c 'echo true | at now'
# S15, S16: rights, mounts, namespaces, roots.
try su su -c true
try sudo sudo -n true
try mount mount -t tmpfs none "$TMPDIR"
try 'mount again' mount -o remount,rw /
try 'bind' mount --bind /usr "$TMPDIR"
try umount umount -l "$own"
try 'a user namespace' unshare -U true
try 'all namespaces' unshare -Urmpf true
try 'a root' chroot / true
try 'another root' pivot_root "$own" "$TMPDIR"
# S17, S18: links and devices.
try 'a hard link' ln /etc/passwd passwd
try 'a device' mknod device b 8 0
ln -s "$CANARY" link
try 'a symbolic link' cat link
# Whether these did anything is seen outside.
for file in "$CANARY" "${CANARY%/*}" link; do
    chmod 777 "$file"
    touch -d 2001-01-01 "$file"
    chown "$(id -u)" "$file"
    truncate -s 0 "$file"
done > /dev/null 2>&1
# S21, S28: the kernel, its log, its clock, its limits.
try 'the log of the kernel' dmesg
try 'a module' modprobe dummy
try 'a setting of the kernel' into /proc/sys/kernel/hostname
try 'a name' hostname other
try 'the clock' date -s 2001-01-01
try 'core dumps' sh -c 'ulimit -c 100; [ "$(ulimit -c)" != 0 ]'
# S5: the network.
if [ -x /bin/bash ]; then
    try 'the network' bash -c "exec 3<> /dev/tcp/127.0.0.1/$PORT"
    try 'datagrams that arrive' bash -c "echo x > /dev/udp/127.0.0.1/$PORT"
fi
