"""Bus bandwidth of NCCL between hosts, by the image's own torch: the measurement and the table of nccl-tests.

Images that serve models have torch and NCCL, and neither nccl-tests nor MPI. One rank and one GPU a host.
"""

import os
import sys
import time

import torch
import torch.distributed as dist

WARM_UPS, TIMES = 5, 20
WORD = 4  # bytes of a float


def timed(work):
    """Seconds of one call, over many."""
    for _ in range(WARM_UPS):
        work()
    torch.cuda.synchronize()
    dist.barrier()
    start = time.perf_counter()
    for _ in range(TIMES):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / TIMES


def half(size, seconds, factor, wrong):
    """Four columns of a row."""
    algbw = size / seconds / 1e9
    text = f"{seconds * 1e6:10.1f} {algbw:7.2f} {algbw * factor:7.2f} {wrong:6d}"
    return text, algbw * factor


def all_gather(size, rank, world):
    each = size // WORD // world
    whole = torch.empty(each * world, device="cuda")
    part = torch.full((each,), float(rank + 1), device="cuda")
    own = whole[rank * each : (rank + 1) * each]
    results = []
    for source in (part, own):
        own.fill_(float(rank + 1))
        seconds = timed(lambda source=source: dist.all_gather_into_tensor(whole, source))
        wanted = torch.arange(1, world + 1, device="cuda", dtype=torch.float32)
        wrong = int((whole.view(world, each) != wanted[:, None]).sum())
        results.append(half(size, seconds, (world - 1) / world, wrong))
    return results, "none", each


def all_reduce(size, rank, world):
    count = size // WORD
    data = torch.empty(count, device="cuda")
    results = []
    for _ in range(2):
        data.fill_(float(rank + 1))
        dist.all_reduce(data)
        wrong = int((data != world * (world + 1) / 2).sum())
        data.zero_()
        seconds = timed(lambda: dist.all_reduce(data))
        results.append(half(size, seconds, 2 * (world - 1) / world, wrong))
    return results, "sum", count


def table(size, count, redop, results):
    """As nccl-tests prints it."""
    columns = "time   algbw   busbw  #wrong"
    wrong = sum(int(text.split()[-1]) for text, _ in results)
    yield f"# torch {torch.__version__}, NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}"
    yield f"#  size  count  type  redop  root  {columns}  {columns}"
    yield f"{size:12d} {count:12d}   float  {redop:>5}     -1 " + " ".join(
        one for one, _ in results
    )
    yield f"# Out of bounds values : {wrong} {'FAILED' if wrong else 'OK'}"
    yield f"# Avg bus bandwidth    : {sum(rate for _, rate in results) / len(results):.4f}"


def main():
    name, size = sys.argv[1], int(sys.argv[2])
    torch.cuda.set_device(0)
    dist.init_process_group("nccl", device_id=torch.device("cuda", 0))
    rank, world = dist.get_rank(), dist.get_world_size()
    size -= size % (WORD * world)
    results, redop, count = {"all_gather": all_gather, "all_reduce": all_reduce}[name](
        size, rank, world
    )
    if rank == 0:
        sys.stdout.write("\n".join([*table(size, count, redop, results), ""]))
        sys.stdout.flush()
    dist.destroy_process_group()
    os._exit(0)


main()
