#!/bin/sh
# One rank as a process, and what a container engine would do for it: environment, log, end, restarts, health, and
# that nothing of it is left. Its environment comes through a pipe, so that it is in no argument and no file.
# $1: the rank's folder, $2: a folder with the pipe, which goes at once
d=$1 t=$2 child='' stopping='' watcher='' stamper=''
umask 077
nl='
'
started() { # the start of process $1 in ticks since boot; not for one that has ended
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${line##*) }
  [ "$1" != Z ] && echo "${20}"
}
say() { echo "orch: $*"; }
put() { printf '%s\n' "$2" >"$d/$1.new" && mv "$d/$1.new" "$d/$1"; }

. "$d/conf" || exit 1 # token, interval, limit, retries, start_period
. "$d/left.sh" || exit 1
read -r boot </proc/sys/kernel/random/boot_id
put pid "$$ $(started $$) $boot"
mkfifo "$t/log" || exit 1
( # without the token: it ends when nobody can write any more
  unset ORCH_PROCESS
  if command -v python3; then exec python3 -I -S "$d/stamp.py" "$d/log"; fi
  exec sh "$d/stamp.sh" "$d/log"
) <"$t/log" >/dev/null 2>&1 &
stamper=$!
exec >"$t/log" 2>&1 </dev/null

trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
trap '' HUP

# Its environment: how many secrets, a line for each, a dot, then shell that exports the rest.
orch_given=$(timeout 60 cat "$t/env") || orch_given=''
rm -rf "$t"
enter() { # only ever in a subshell: a variable may have any name
  first() { orch_one=${orch_given%%"$nl"*} orch_given=${orch_given#*"$nl"}; }
  first
  orch_left=$orch_one
  while [ "${orch_left:-0}" -gt 0 ]; do
    first
    export "$orch_one"
    orch_left=$((orch_left - 1))
  done
  first
  [ "$orch_one" = . ] || { say "its environment did not come whole: a secret holds a line break, or nobody sent it"; return 1; }
  eval "$orch_given"
}

healthy() { # the health of what runs, as docker tells it
  began=$(date +%s) bad=0
  put health starting
  while sleep "$interval"; do
    if (set -- "$d" "$limit" && enter && exec timeout "$2" sh "$1/check"); then
      bad=0
      put health healthy
    else
      bad=$((bad + 1))
      [ "$bad" -lt "$retries" ] || [ $(($(date +%s) - began)) -lt "$start_period" ] || put health unhealthy
    fi
  done
}

restarts=0 pause=1
while [ -z "$stopping" ]; do
  put started "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  began=$(date +%s)
  (
    trap - TERM INT HUP
    umask 022
    cd "${HOME:-/}" || exit 1
    ulimit -m "$(limit)" 2>/dev/null # see left.sh
    set -- "$d"
    enter || exit 2
    unset orch_given orch_one orch_left
    exec sh "$1/run"
  ) &
  child=$!
  [ -z "$stopping" ] || kill -TERM "$child" 2>/dev/null # it came before there was somebody to tell
  if [ -e "$d/check" ]; then
    healthy </dev/null >/dev/null 2>&1 &
    watcher=$!
  fi
  while :; do
    wait "$child"
    rc=$?
    kill -0 "$child" 2>/dev/null || break
  done
  [ -z "$watcher" ] || kill -9 "$watcher" 2>/dev/null
  left $$ "$stamper" $watcher # what the program left behind
  child='' watcher=''
  policy=no
  [ ! -r "$d/restart" ] || read -r policy <"$d/restart"
  most=0
  case $policy in on-failure:*) most=${policy#*:} ;; esac
  [ -z "$stopping" ] && [ "$rc" -ne 0 ] && [ "$restarts" -lt "$most" ] || break
  [ $(($(date +%s) - began)) -lt 60 ] || pause=1
  restarts=$((restarts + 1))
  put restarts "$restarts"
  say "ended with code $rc: start $restarts of $most in $pause s"
  sleep "$pause" &
  wait $!
  [ "$pause" -ge 60 ] || pause=$((pause * 2))
done
rm -f "$d/health"
exec >/dev/null 2>&1
tries=0
while started "$stamper" && [ "$tries" -lt 100 ]; do
  tries=$((tries + 1))
  sleep 0.1 || sleep 1
done
put rc "${rc:-143} $(date +%s)"
exit "${rc:-143}"
