# left PIDS: ends all that has the rank's token, but these. Until nothing was found twice: what is just becoming
# another program shows no environment.
left() {
  none=0 looks=0
  while [ -n "$token" ] && [ "$none" -lt 2 ] && [ "$looks" -lt 100 ]; do
    none=$((none + 1)) looks=$((looks + 1))
    for file in $(grep -slzxF "ORCH_PROCESS=$token" /proc/[0-9]*/environ); do
      one=${file#/proc/} one=${one%/environ}
      case " $* " in *" $one "*) continue ;; esac
      grep -qszxF "ORCH_PROCESS=$token" "$file" && kill -KILL "$one" 2>/dev/null && none=0
    done
    [ "$none" -ge 2 ] || sleep 0.1 || sleep 1
  done
}
