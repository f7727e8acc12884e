#!/bin/sh
# Changes this host's netplan files so that a change nobody confirms undoes itself: at a deadline, and at boot.
#
# Installed by orch as /var/lib/orch/netplan/dead-man. One change is a folder beside it, named by its content:
#
#   new/NAME     files for /etc/netplan      remove      names to take away, one a line; what does not end in
#                                            .yaml is a connection profile of NetworkManager's own
#   expect       "netdev mtu address" a line; address "-" where none is fixed
#   ids          netplan's names of what changes (files generated for other names are never touched)
#   before/      what was there: netplan/ (all files), profiles/, live/ and boot/ (generated), addresses, links
#   after/       what netplan generates for the new files
#   unconfirmed  the marker: while it exists, the timer and the boot service undo the change
#   applying     the change has begun to touch the host     result, outcome    what became of it
#
# Order: begin, (files arrive), prepare, arm, apply (detached), wait | and over a new connection: confirm.
# Only files generated for `ids` are replaced below /run, and only those interfaces are reconfigured: the
# interface that carries SSH is never touched, which `netplan apply` could not promise.

set -u
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

home=${ORCH_NETPLAN_HOME:-/var/lib/orch/netplan}
etc=/etc/netplan
profiles=/etc/NetworkManager/system-connections
run=/run
boot_unit=orch-netplan-revert.service
wanted=/etc/systemd/system/multi-user.target.wants/$boot_unit
udev_rules=udev/rules.d/90-netplan.rules
settle=20 # seconds that an interface gets to show its addresses

say() { printf '%s\n' "$*"; }

fail() { # code words…
    code=$1
    shift
    say "$*" >&2
    exit "$code"
}

lock() { # seconds; goes on without it after that, as an undo must not wait for ever
    exec 9>>"$home/lock"
    flock -w "$1" 9
}

keep() { # write stdin to a file so that it survives a power cut
    cat >"$1.part" && mv "$1.part" "$1" && sync "$1" "$(dirname "$1")"
}

boot_id() { # the kernel's, and when PID 1 began: a system container boots without its kernel
    say "$(cat /proc/sys/kernel/random/boot_id) $(cut -d' ' -f22 /proc/1/stat)"
}

# --- what an interface has now ------------------------------------------------------------------

addresses() { # netdev → one line an address, without lifetimes
    ip -o addr show dev "$1" 2>/dev/null | while read -r _ _ family address rest; do
        rest=${rest%%\\*}
        rest=$(printf '%s ' $rest | sed 's/tentative //')
        say "$family $address $rest"
    done
}

routes() { # netdev → routes that somebody set (the kernel's own come with the addresses)
    ip -4 route show dev "$1" 2>/dev/null | grep -v 'proto kernel' | sed 's/ linkdown//'
}

link() { # netdev → mtu, administrative state, and the kernel's IPv6 settings
    say "mtu $(cat "/sys/class/net/$1/mtu")"
    [ $(($(cat "/sys/class/net/$1/flags") & 1)) = 1 ] && say "admin up" || say "admin down"
    for key in disable_ipv6 addr_gen_mode accept_ra use_tempaddr; do
        [ -r "/proc/sys/net/ipv6/conf/$1/$key" ] && say "$key $(cat "/proc/sys/net/ipv6/conf/$1/$key")"
    done
}

managed() { # netdev → what networkd says of it
    networkctl --no-legend --no-pager list "$1" 2>/dev/null | while read -r _ _ _ _ setup; do say "$setup"; done
}

profile() { nmcli -g GENERAL.CON-UUID device show "$1" 2>/dev/null; } # netdev → what NetworkManager has up on it

unmanaged() { # netdev → whether NetworkManager runs and leaves it alone
    nmcli -g GENERAL.STATE device show "$1" 2>/dev/null | grep '^10 ' >/dev/null
}

netdevs() { cut -d' ' -f1 "$1/expect" | sort -u; }

missing() { # netdev mtu address → what it lacks of these; nothing if all is there
    [ -e "/sys/class/net/$1" ] || { say "no netdev $1"; return; }
    now=$(cat "/sys/class/net/$1/mtu")
    [ "$now" = "$2" ] || { say "$1 has MTU $now, not $2"; return; }
    [ "$3" = - ] || addresses "$1" | grep -F "inet $3 " >/dev/null || say "$1 has no $3"
}

lacking() { # folder [netdev] → what its interfaces, or this one, lack
    while read -r netdev mtu address; do
        [ -n "${2:-}" ] && [ "$2" != "$netdev" ] || missing "$netdev" "$mtu" "$address"
    done <"$1/expect"
}

# --- files that netplan generates -----------------------------------------------------------------

generated() { # tree folder → paths, below it, of what was generated for our ids
    while read -r id; do
        for path in "systemd/network/10-netplan-$id.network" "systemd/network/10-netplan-$id.link" \
            "NetworkManager/system-connections/netplan-$id.nmconnection"; do
            say "$path"
        done
    done <"$2/ids"
    say "$udev_rules" # one file for all interfaces; the lines for others are the same before and after
}

copy_generated() { # from, to, folder
    generated "$1" "$3" | while read -r path; do
        [ -e "$1/$path" ] || continue
        mkdir -p "$2/$(dirname "$path")" && cp -a "$1/$path" "$2/$path" || return 1
    done
}

install_generated() { # tree, folder: make /run equal to the tree for our ids; unchanged files keep their time
    generated "$1" "$2" | while read -r path; do
        if [ ! -e "$1/$path" ]; then
            rm -f "$run/$path"
        elif ! cmp -s "$1/$path" "$run/$path"; then
            # networkd and udev read as other users: the folders are theirs to make, readable
            (umask 022 && mkdir -p "$run/$(dirname "$path")")
            cp -a "$1/$path" "$run/$path.part" && mv "$run/$path.part" "$run/$path" || return 1
        fi
    done
}

generate() { # root: what netplan makes of root/etc/netplan
    # not by `netplan generate`: that of netplan 1 reloads systemd, whose generators rewrite all of netplan's files
    # in /run, and networkd then takes up the interface with SSH too. It leaves modes to the umask: with ours
    # networkd could not read its files.
    set -- "$1" netplan generate
    for program in /usr/libexec/netplan/generate /usr/lib/netplan/generate /lib/netplan/generate; do
        [ ! -x "$program" ] || set -- "$1" "$program"
    done
    root=$1
    shift
    (umask 022 && "$@" --root-dir "$root") 2>&1
}

# --- making the renderer follow ---------------------------------------------------------------------

manager_runs() { systemctl is-active --quiet NetworkManager; }

tell_udev() { # folder: NetworkManager asks udev which interfaces are its own; only ours are asked about
    timeout 20 udevadm control --reload 2>/dev/null || return 0
    for netdev in $(netdevs "$1"); do
        timeout 20 udevadm trigger --settle --action=change --subsystem-match=net --sysname-match="$netdev"
    done
}

let_go() { # folder: networkd is to have them: what NetworkManager still holds it would empty again (seen after 35 s)
    for netdev in $(netdevs "$1"); do
        [ -e "$1/after/systemd/network/10-netplan-$netdev.network" ] || continue
        tries=0
        while [ "$tries" -lt 5 ] && ! unmanaged "$netdev"; do
            tries=$((tries + 1))
            sleep 0.2
        done
        # since its last restart it may take what it had then for asked for, whatever udev says; until the next boot
        unmanaged "$netdev" || nmcli device set "$netdev" managed no
    done
}

activate() { # folder; interfaces that are as they shall be stay untouched: a model may be talking over them
    if manager_runs; then
        tell_udev "$1"
        nmcli connection reload
        while read -r id; do
            [ -e "$run/NetworkManager/system-connections/netplan-$id.nmconnection" ] || continue
            [ -z "$(lacking "$1" "$id")" ] && [ "$(connection "$id")" = "netplan-$id" ] ||
                nmcli --wait "$settle" connection up "netplan-$id"
        done <"$1/ids"
        let_go "$1"
    fi
    systemctl is-active --quiet systemd-networkd || return 0
    networkctl reload # takes up every interface whose file has changed, and no other
    remind "$1" taken_up
}

remind() { # folder [but]: networkd has those set up anew that lack something, but for those that this is true of
    ls "$1"/after/systemd/network/*.network >/dev/null 2>&1 || return 0
    systemctl is-active --quiet systemd-networkd || return 0
    for netdev in $(netdevs "$1"); do
        "${2:-false}" "$1" "$netdev" || [ -z "$(lacking "$1" "$netdev")" ] || networkctl reconfigure "$netdev" >&2
    done
}

taken_up() { # folder netdev: its file has changed. To reconfigure it too would empty it again behind our look
    file=systemd/network/10-netplan-$2.network
    [ -e "$1/after/$file" ] && ! cmp -s "$1/before/live/$file" "$1/after/$file"
}

settled() { # folder → what its interfaces lack; looks until it holds: the renderer may still empty them once more
    end=$(($(date +%s) + settle)) looks=0 held=0
    while :; do
        lack=$(lacking "$1")
        looks=$((looks + 1)) held=$((held + 1))
        [ -z "$lack" ] || held=0
        [ "$held" -lt 3 ] && [ "$(date +%s)" -lt "$end" ] || break
        [ "$looks" != 20 ] || remind "$1"
        sleep 0.2
    done
    say "$lack"
}

connection() { nmcli -g GENERAL.CONNECTION device show "$1" 2>/dev/null; } # netdev → NetworkManager's name

# --- a change, step by step ---------------------------------------------------------------------------

place() { # name → the folder of its kind
    case $1 in
    *.yaml) say "$etc" ;;
    *) say "$profiles" ;;
    esac
}

kept() { # folder name → the copy of what was there
    [ "$(place "$2")" = "$etc" ] && say "$1/before/netplan/$2" || say "$1/before/profiles/$2"
}

begin() { # tx: an earlier change that nobody confirmed is undone first
    mkdir -p "$home" && chmod 700 "$home" || exit 1
    revert "superseded" || fail 1 "the earlier change could not be undone"
    ls -1td "$home"/*/outcome 2>/dev/null | tail -n +4 | while read -r old; do rm -rf "$(dirname "$old")"; done
    rm -rf "${home:?}/$1" && mkdir -p "$home/$1/new"
}

snapshot() { # folder
    mkdir -p "$1/before/live" "$1/before/boot"
    cp -a "$etc" "$1/before/netplan" || return 1
    copy_generated "$run" "$1/before/live" "$1" || return 1
    for netdev in $(netdevs "$1"); do
        [ -e "/sys/class/net/$netdev" ] || fail 1 "no netdev $netdev"
        addresses "$netdev" >"$1/before/$netdev.addresses"
        routes "$netdev" >"$1/before/$netdev.routes"
        link "$netdev" >"$1/before/$netdev.link"
        managed "$netdev" >"$1/before/$netdev.managed"
        ip addr save dev "$netdev" >"$1/before/$netdev.saved" || return 1
        profile "$netdev" >"$1/before/$netdev.nm" || :
        if unmanaged "$netdev"; then : >"$1/before/$netdev.unmanaged"; fi
    done
    mkdir -p "$1/before/profiles"
    [ ! -e "$1/remove" ] || while read -r name; do
        [ "$(place "$name")" = "$etc" ] || cp -a "$profiles/$name" "$1/before/profiles/$name" || return 1
    done <"$1/remove"
    as_before "$1" # what a full disk left empty could never be gone back to
}

trial() { # folder: both the old and the new files through netplan, in roots of their own
    for root in "$1/old" "$1/try"; do
        rm -rf "$root" && mkdir -p "$root/etc" "$root/run" && cp -a "$etc" "$root/etc/netplan" || return 1
    done
    [ ! -e "$1/remove" ] || while read -r name; do rm -f "$1/try/etc/netplan/$name"; done <"$1/remove"
    for new in "$1"/new/*; do
        [ ! -e "$new" ] || cp "$new" "$1/try/etc/netplan/" || return 1
    done
    generate "$1/old" || { say "netplan refuses the files that are there already"; return 1; }
    generate "$1/try" || { say "netplan refuses the new files"; return 1; }
}

others_unchanged() { # folder: once what is ours is gone from both, nothing may differ
    for tree in "$1/old/run" "$1/try/run"; do
        generated "$tree" "$1" | while read -r path; do rm -f "$tree/$path"; done
        # this lists what a boot waits for, which an adopted stanza may have been part of
        rm -rf "$tree/systemd/system/systemd-networkd-wait-online.service.d"
        find "$tree" -depth -mindepth 1 -type d -empty -delete
    done
    diff -r --no-dereference "$1/old/run" "$1/try/run" 2>&1
}

prepare() { # tx
    folder=$home/$1
    [ -s "$folder/expect" ] || fail 1 "nothing to expect: refused"
    snapshot "$folder" || fail 1 "the snapshot failed"
    reason=$(trial "$folder") || fail 2 "$reason"
    mkdir -p "$folder/after"
    copy_generated "$folder/old/run" "$folder/before/boot" "$folder" &&
        copy_generated "$folder/try/run" "$folder/after" "$folder" || {
        rm -rf "$folder/after"
        fail 1 "what netplan makes of the files can't be kept"
    }
    reason=$(others_unchanged "$folder") || {
        rm -rf "$folder/after"
        fail 2 "the change would reach other interfaces: $reason"
    }
    rm -rf "$folder/old" "$folder/try"
    find "$folder" -type f -exec sync {} +
}

deadline() { # seconds name: a timer of systemd's own, which needs neither our connection nor our process
    systemctl stop "$2.timer" 2>/dev/null # one whose change is gone would keep its name
    systemd-run --quiet --collect --unit="$2" --on-active="$1" --timer-property=AccuracySec=1s \
        /bin/sh "$home/dead-man" revert deadline && systemctl is-active --quiet "$2.timer"
}

arm() { # tx seconds; from here on nothing needs us any more
    folder=$home/$1
    [ -d "$folder/after" ] || fail 1 "not prepared"
    # a link by hand: `systemctl enable` reloads systemd, whose generators rewrite all of netplan's files, and
    # then networkd reconfigures every interface, the one with SSH too (seen: its address gone for 25 ms)
    mkdir -p "$(dirname "$wanted")" && ln -sfn "../$boot_unit" "$wanted" || fail 1 "no boot service"
    [ -e "$(dirname "$wanted")/../$boot_unit" ] || fail 1 "no boot service"
    boot_id | keep "$folder/boot" && date +%s | keep "$folder/unconfirmed" &&
        deadline "$2" "orch-netplan-deadline-$1" || {
        rm -f "$folder/unconfirmed"
        fail 1 "neither marker nor timer, or one without the other"
    }
}

disarm() { # folder
    rm -f "$1/unconfirmed" && sync "$1"
    systemctl stop --no-block "orch-netplan-deadline-$(basename "$1").timer" 2>/dev/null || :
}

put() { # file: into its folder at once or not at all, as cp -a made it
    name=$(basename "$1")
    to=$(place "$name")
    cmp -s "$1" "$to/$name" && [ "$(stat -c %a:%u:%g "$1")" = "$(stat -c %a:%u:%g "$to/$name")" ] && return 0
    cp -a "$1" "$to/.$name.orch" && sync "$to/.$name.orch" && mv "$to/.$name.orch" "$to/$name" && sync "$to"
}

install_files() { # folder
    [ ! -e "$1/adopt" ] || while read -r name; do
        mkdir -p "$home/adopted" && cp -a "$(kept "$1" "$name")" "$home/adopted/$name" || return 1
    done <"$1/adopt"
    for new in "$1"/new/*; do
        [ ! -e "$new" ] || { chown 0:0 "$new" && chmod 600 "$new" && put "$new"; } || return 1
    done
    [ ! -e "$1/remove" ] || while read -r name; do
        rm -f "$(place "$name")/$name" && sync "$(place "$name")"
    done <"$1/remove"
    sync "$etc"
}

apply() { # tx; runs detached
    folder=$home/$1
    lock 30 || fail 1 "another change is at work"
    [ -e "$folder/unconfirmed" ] || fail 1 "not armed"
    say yes | keep "$folder/applying" || fail 1 "$folder can't be written: nothing was touched" # undo goes by it
    if install_files "$folder" && install_generated "$folder/after" "$folder"; then
        activate "$folder"
        reason=$(settled "$folder")
    else
        reason="its files can't be written"
    fi
    if [ -z "$reason" ]; then
        say applied | keep "$folder/result"
    else
        say "$reason" | keep "$folder/result"
        undo "$folder" "failed: $reason"
    fi
}

wait_for() { # tx seconds
    folder=$home/$1
    end=$(($(date +%s) + $2))
    while [ ! -e "$folder/result" ]; do
        [ ! -e "$folder/outcome" ] || fail 4 "$(cat "$folder/outcome")"
        [ "$(date +%s)" -lt "$end" ] || fail 4 "still under way after $2 s"
        sleep 0.1
    done
    [ "$(cat "$folder/result")" = applied ] && return 0
    fail 4 "$(cat "$folder/result")"
}

confirm() { # tx; over a new connection
    folder=$home/$1
    lock 10 || fail 1 "another change is at work"
    [ -e "$folder/unconfirmed" ] || fail 3 "nothing is left to confirm ($(cat "$folder/outcome" 2>/dev/null)); orch up sets it up anew"
    reason=$(lacking "$folder")
    [ -z "$reason" ] || fail 4 "$reason"
    say confirmed | keep "$folder/outcome"
    disarm "$folder"
}

# --- undoing it -----------------------------------------------------------------------------------

restore_files() { # folder: exactly the files that the change may have touched, as they were
    { ls -1 "$1/new" && cat "$1/remove" 2>/dev/null; } | while read -r name; do
        if [ -e "$(kept "$1" "$name")" ]; then
            put "$(kept "$1" "$name")" || return 1
        else
            rm -f "$(place "$name")/$name" && sync "$(place "$name")"
        fi
    done
}

restore_link() { # folder netdev
    [ "$(link "$2")" = "$(cat "$1/before/$2.link")" ] && return 0
    while read -r key value; do
        case $key in
        mtu) ip link set dev "$2" mtu "$value" ;;
        admin) ip link set dev "$2" "$value" ;;
        *) printf %s "$value" >"/proc/sys/net/ipv6/conf/$2/$key" ;;
        esac
    done <"$1/before/$2.link"
}

restore_addresses() { # folder netdev
    [ "$(addresses "$2")" = "$(cat "$1/before/$2.addresses")" ] && return 0
    ip addr flush dev "$2"
    ip addr restore <"$1/before/$2.saved" 2>/dev/null
    routes "$2" | while read -r route; do ip route del $route dev "$2"; done
    while read -r route; do ip route add $route dev "$2"; done <"$1/before/$2.routes"
}

as_before() { # folder [netdev]
    for netdev in ${2:-$(netdevs "$1")}; do
        [ "$(link "$netdev")" = "$(cat "$1/before/$netdev.link")" ] || return 1
        [ "$(addresses "$netdev")" = "$(cat "$1/before/$netdev.addresses")" ] || return 1
    done
}

held_as_before() { # folder: NetworkManager has the same profiles up
    for netdev in $(netdevs "$1"); do
        [ "$(profile "$netdev")" = "$(cat "$1/before/$netdev.nm")" ] || return 1
    done
}

restore_manager() { # folder
    tell_udev "$1"
    nmcli connection reload
    for netdev in $(netdevs "$1"); do
        old=$(cat "$1/before/$netdev.nm")
        now=$(profile "$netdev")
        if [ "$now" = "$old" ] && as_before "$1" "$netdev"; then continue; fi
        if [ -e "$1/before/$netdev.unmanaged" ]; then
            nmcli device set "$netdev" managed no
            continue
        fi
        if unmanaged "$netdev"; then nmcli device set "$netdev" managed yes; fi
        if [ -n "$old" ]; then # it may wait long for DHCP, as it did before
            nmcli --wait 0 connection up "$old" ifname "$netdev"
        elif [ -n "$now" ]; then
            nmcli device disconnect "$netdev"
        fi
    done
}

restore_live() { # folder: this boot is the one that was changed
    install_generated "$1/before/live" "$1"
    if manager_runs; then restore_manager "$1"; fi
    if systemctl is-active --quiet systemd-networkd; then
        networkctl reload
        for netdev in $(netdevs "$1"); do
            [ "$(cat "$1/before/$netdev.managed")" = unmanaged ] || as_before "$1" "$netdev" ||
                networkctl reconfigure "$netdev"
        done
    fi
    # the renderer works on after its command has returned: look until it holds, then help
    nobodys=yes held=0 tries=0
    if grep -v unmanaged "$1"/before/*.managed >/dev/null || grep . "$1"/before/*.nm >/dev/null; then nobodys=; fi
    while [ "$held" -lt 3 ] && [ "$tries" -lt 60 ]; do
        tries=$((tries + 1))
        if as_before "$1" && held_as_before "$1"; then
            held=$((held + 1))
        else
            held=0
            if [ "$tries" -gt 20 ] || [ -n "$nobodys" ]; then
                for netdev in $(netdevs "$1"); do
                    restore_addresses "$1" "$netdev"
                    restore_link "$1" "$netdev"
                done
            fi
        fi
        sleep 0.2
    done
    as_before "$1"
}

restore_boot() { # folder: the host has booted since, and nothing is up yet
    install_generated "$1/before/boot" "$1"
    tell_udev "$1"
    systemctl is-active --quiet systemd-networkd || return 0
    networkctl reload
    for netdev in $(netdevs "$1"); do networkctl reconfigure "$netdev"; done
}

undo() { # folder reason
    exact=exact
    if [ -e "$1/applying" ]; then
        restore_files "$1" || return 1
        if [ "$(cat "$1/boot")" = "$(boot_id)" ]; then
            restore_live "$1" || exact="files exact, addresses not"
        else
            restore_boot "$1"
            set -- "$1" "boot"
        fi
    fi
    say "reverted ($2): $exact" | keep "$1/outcome"
    disarm "$1"
}

revert() { # reason
    for marker in "$home"/*/unconfirmed; do
        [ -e "$marker" ] || continue
        folder=$(dirname "$marker")
        systemctl stop "orch-netplan-apply-$(basename "$folder").service" 2>/dev/null
        lock 30
        [ ! -e "$marker" ] || undo "$folder" "$1" || {
            deadline 60 "orch-netplan-again-$$" # and at boot
            return 1
        }
    done
}

verb=$1
shift
case $verb in
begin | prepare | apply | confirm) "$verb" "$1" ;;
arm) arm "$1" "$2" ;;
wait) wait_for "$1" "$2" ;;
revert) revert "${1:-deadline}" ;;
*) fail 64 "unknown: $verb" ;;
esac
