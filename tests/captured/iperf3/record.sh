#!/bin/bash
# Records this folder anew, in a network namespace of its own: `unshare -n bash record.sh`. Needs iperf3 and iptables.
cd "$(dirname "$0")" || exit 1
export LC_ALL=C
port=5301
ip link set lo up
ip link add d0 type dummy && ip address add 192.0.2.1/24 dev d0 && ip link set d0 up arp on
scratch=$(mktemp -d)
server_flags="-s -1 -B 127.0.0.2 -p $port --json"
client_flags="-c 127.0.0.2 -B 127.0.0.1 -p $port -t 1 -P 4 --json --connect-timeout 2000"

# record NAME "SERVER FLAGS" "CLIENT FLAGS" [COMMAND while it runs, with $server and $client as process ids]
record() {
  local server="" client="" server_rc=0
  if [ -n "$2" ]; then
    timeout 6 iperf3 $2 >"$scratch/so" 2>"$scratch/se" &
    server=$!
    for _ in $(seq 40); do ss -ltn "sport = :$port" | grep -q LISTEN && break; sleep 0.05; done
  else
    : >"$scratch/so"; : >"$scratch/se"
  fi
  timeout 8 iperf3 $3 >"$scratch/co" 2>"$scratch/ce" &
  client=$!
  [ -z "$4" ] || eval "$4"
  wait $client; client_rc=$?
  [ -z "$server" ] || { wait "$server"; server_rc=$?; }
  {
    echo "# server (spark-2): ${2:+iperf3 }${2:-true}"
    cat "$scratch/so"; echo "[server rc=$server_rc]"; cat "$scratch/se"
    echo "# client (spark-1): iperf3 $3"
    cat "$scratch/co"; echo "[client rc=$client_rc]"; cat "$scratch/ce"
  } | sed 's/"system_info":.*"/"system_info":	"Linux"/' >"$1"
  echo "$1 client $client_rc server $server_rc"
}

iperf3 --version 2>&1 | grep -v '^Linux' >05_version.txt
record 10_four_streams.txt "$server_flags" "$client_flags"
record 11_one_stream.txt "$server_flags" "${client_flags/-P 4/-P 1}"
record 12_both_ways.txt "$server_flags" "$client_flags --bidir"
record 30_wrong_address_client.txt "$server_flags" "${client_flags/127.0.0.1/198.51.100.9}"
record 31_no_server.txt "" "$client_flags"
record 32_no_route.txt "" "${client_flags/-c 127.0.0.2 -B 127.0.0.1/-c 198.51.100.9}"
record 33_wrong_address_server.txt "${server_flags/127.0.0.2/198.51.100.9}" "$client_flags"
record 38_unknown_flag.txt "$server_flags" "$client_flags --nosuchflag"
iptables -A INPUT -p tcp --dport $port -j DROP
record 40_firewall.txt "$server_flags" "$client_flags"
iptables -F INPUT
iptables -A INPUT -p tcp --dport $port -j REJECT --reject-with icmp-host-unreachable
record 34_no_host.txt "$server_flags" "$client_flags"
iptables -F INPUT
record 57_server_killed.txt "$server_flags" "${client_flags/-t 1/-t 4}" 'sleep 1; pkill -KILL -P $server iperf3'
record 59_client_killed.txt "$server_flags" "${client_flags/-t 1/-t 4}" 'sleep 1; pkill -KILL -P $client iperf3'
(timeout 7 iperf3 -s -B 127.0.0.2 -p $port >/dev/null 2>&1 &)
sleep 0.5
record 58_port_in_use.txt "$server_flags" "$client_flags" 
(iperf3 ${client_flags/-t 1/-t 3} >/dev/null 2>&1 &)
sleep 0.7
record 60_busy.txt "" "$client_flags"
iptables -A INPUT -p tcp --dport $port -m length --length 1000:65535 -j DROP
sleep 3.5
record 45_big_packets_dropped.txt "" "$client_flags"
rm -rf "$scratch"
