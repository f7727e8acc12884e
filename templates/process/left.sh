# All that a rank has started, known by what it inherited: a token in its environment, and a limit of resident memory
# that no kernel enforces (RLIMIT_RSS, getrlimit(2)). Programs that set their title wipe their environment, as vLLM's
# and Ray's do; nobody sets that limit. Wants `token`, NAME.SECONDS.PID, and `started`.
limit() { # in KiB, as `ulimit -m` takes it
  seconds=${token%.*}
  echo $((${seconds##*.} % 100000000 * 10000000 + ${token##*.}))
}
ours() { # process $1; none that has ended and waits for somebody to ask
  started "$1" >/dev/null || return 1
  grep -qszxF "ORCH_PROCESS=$token" "/proc/$1/environ" || grep -qs "^Max resident set  *$bytes " "/proc/$1/limits"
}
members() { # their numbers
  [ -n "$token" ] || return 0
  bytes=$(($(limit) * 1024))
  for file in $(grep -slzxF "ORCH_PROCESS=$token" /proc/[0-9]*/environ) \
    $(grep -sl "^Max resident set  *$bytes " /proc/[0-9]*/limits); do
    one=${file#/proc/} one=${one%/*}
    ours "$one" && echo "$one"
  done
}
# left PIDS: ends all, but these. Until nothing was found twice: what is just becoming another program shows nothing.
left() {
  none=0 looks=0
  while [ "$none" -lt 2 ] && [ "$looks" -lt 100 ]; do
    none=$((none + 1)) looks=$((looks + 1))
    for one in $(members); do
      case " $* " in *" $one "*) continue ;; esac
      kill -KILL "$one" 2>/dev/null && none=0
    done
    [ "$none" -ge 2 ] || sleep 0.1 || sleep 1
  done
}
