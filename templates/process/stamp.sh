# The same as stamp.py where there is no Python. $1: the log
trap '' TERM INT HUP
case $(date +%N) in
*[!0-9]* | '') form=%Y-%m-%dT%H:%M:%SZ ;;
*) form=%Y-%m-%dT%H:%M:%S.%NZ ;;
esac
lines=0
while IFS= read -r line || [ -n "$line" ]; do
  printf '%s %s\n' "$(date -u +"$form")" "$line" >>"$1"
  lines=$((lines + 1))
  [ $((lines % 1000)) = 0 ] && [ "$(wc -c <"$1")" -gt 50000000 ] || continue
  [ ! -e "$1.1" ] || mv "$1.1" "$1.2"
  mv "$1" "$1.1"
done
