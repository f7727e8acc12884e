#!/usr/bin/env bash
# What a person would type to get the demo's model up on two hosts, and nothing else: no check, no gate, no lease,
# no plan. The same Ray and vLLM, with the same arguments, as `orch up` of examples/lab/cluster.yaml.
#
#   up_by_hand.sh up|down HEAD WORKER      (addresses for SSH)
# needs in the environment: SSH_KEY KNOWN_HOSTS NETDEV HEAD_ADDRESS WORKER_ADDRESS (the last three: of the fabric)
set -euo pipefail
verb=$1 head=$2 worker=$3

on() { # HOST COMMAND: one connection for each host, kept open
  ssh -i "$SSH_KEY" -o UserKnownHostsFile="$KNOWN_HOSTS" -o IdentitiesOnly=yes -o LogLevel=ERROR \
    -o ControlMaster=auto -o ControlPersist=60 -o ControlPath="${CONTROL_FOLDER:-/tmp}/hand-%h" \
    "orch@$1" "$2"
}

if [ "$verb" = down ]; then
  on "$head" 'docker rm -f hand-0' >/dev/null &
  on "$worker" 'docker rm -f hand-1' >/dev/null
  wait
  exit
fi

run() { # NAME ADDRESS: everything up to the image's arguments
  echo docker run -d --name "$1" --network host --ipc host --tmpfs /tmp:exec --tmpfs /root:exec \
    -v /usr:/usr:ro -v /etc:/etc:ro -v /opt/orch-lab:/opt/orch-lab:ro -v /models:/models:ro \
    -e HF_HUB_OFFLINE=1 -e TRANSFORMERS_OFFLINE=1 -e VLLM_NO_USAGE_STATS=1 -e DO_NOT_TRACK=1 \
    -e VLLM_CPU_OMP_THREADS_BIND=nobind -e OMP_NUM_THREADS=1 -e TOKENIZERS_PARALLELISM=false \
    -e RAY_USAGE_STATS_ENABLED=0 -e GLOO_SOCKET_IFNAME="$NETDEV" -e VLLM_HOST_IP="$2" \
    -e RAY_ADDRESS="$HEAD_ADDRESS:6379" orch-lab/host-tree:latest
}
ray='--num-cpus=1 --num-gpus=1 --object-store-memory=80000000 --disable-usage-stats --block'

on "$head" "$(run hand-0 "$HEAD_ADDRESS") ray start --head --node-ip-address=$HEAD_ADDRESS --port=6379 \
  --include-dashboard=false $ray" >/dev/null
on "$worker" "$(run hand-1 "$WORKER_ADDRESS") sh -c 'until ray start --address=$HEAD_ADDRESS:6379 \
  --node-ip-address=$WORKER_ADDRESS $ray; do sleep 0.5; done'" >/dev/null
on "$head" "until docker exec hand-0 ray status 2>/dev/null | grep -q '/2.0 GPU'; do sleep 0.5; done"
on "$head" "docker exec -d hand-0 sh -c 'vllm serve /models/tiny-llama --served-model-name tiny \
  --dtype float32 --max-model-len 512 --max-num-seqs 4 --kv-cache-memory-bytes 67108864 \
  --compilation-config '\\''{\"mode\":2,\"backend\":\"eager\"}'\\'' \
  --distributed-executor-backend ray --tensor-parallel-size 2 --host 0.0.0.0 --port 8000 >/tmp/serve.log 2>&1'"
until curl -fs -o /dev/null "http://$head:8000/health"; do sleep 0.5; done
curl -fsS "http://$head:8000/v1/completions" -H 'Content-Type: application/json' \
  -d '{"model": "tiny", "prompt": "hello", "max_tokens": 16, "temperature": 0}'
