#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs "./dev test plain" in another system, as root:
#
#     git archive HEAD | tests/platforms/platform.sh SUITE ARCHITECTURE MIRROR FOLDER
#
# The system is in FOLDER/root. It is made once, and upgraded by each later run; FOLDER/made says
# that it was completed, and one that was not, or that cannot be upgraded, is made anew.
#
# All of it happens in a mount and a process namespace. When this ends, however it ends, no mount
# and no process is left. pivot_root(8) and not chroot(2), because a process in a chroot must not
# make a user namespace, which tests do.
set -eu

suite=$1 architecture=$2 mirror=$3 folder=$4 root=$4/root
kind=linux64 # what uname(1) says
[ "$architecture" != i386 ] || kind=linux32
if [ "${5-}" != inside ]; then
    exec 9>"$folder.lock"
    flock --nonblock 9 || { echo "dev: another run uses $folder" >&2; exit 1; }
    exec setarch $kind \
        unshare --mount --pid --fork --kill-child --mount-proc "$0" "$1" "$2" "$3" "$4" inside
fi

# Shows the output of a command only if it fails.
quietly() {
    "$@" </dev/null >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
}

make_root() {
    echo "dev: making a system of Debian $suite ($architecture) in $root"
    rm -rf --one-file-system "$folder"
    mkdir -p "$folder"
    quietly debootstrap --variant=minbase --arch="$architecture" "$suite" "$root" "$mirror"
    # It can be made again, so nothing waits for the disk; and no service of a package is started.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90host" # proxies and the like
    touch "$folder/made"
}

mount_kernel() {
    mount --bind "$root" "$root" # pivot_root wants a mount
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    mkdir "$root/run/lock" "$root/run/old"
    cp -L --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
}

upgrade() {
    quietly chroot "$root" apt-get -qq update &&
        quietly chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y dist-upgrade
}

[ -e "$folder/made" ] || make_root
mount_kernel
if ! upgrade; then
    umount -R -l "$root"
    make_root
    mount_kernel
fi
rm -rf "$root/srv/echod"
mkdir "$root/srv/echod"
tar -x -C "$root/srv/echod"
cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old
cd /srv/echod
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    ./dev test plain </dev/null 9>&-
