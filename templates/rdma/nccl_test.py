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
    return "%10.1f %7.2f %7.2f %6d" % (seconds * 1e6, algbw, algbw * factor, wrong), algbw * factor


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


def main():
    name, size = sys.argv[1], int(sys.argv[2])
    torch.cuda.set_device(0)
    dist.init_process_group("nccl", device_id=torch.device("cuda", 0))
    rank, world = dist.get_rank(), dist.get_world_size()
    size -= size % (WORD * world)
    results, redop, count = {"all_gather": all_gather, "all_reduce": all_reduce}[name](size, rank, world)
    if rank == 0:
        columns = "time   algbw   busbw  #wrong"
        print("# torch %s, NCCL %s" % (torch.__version__, ".".join(map(str, torch.cuda.nccl.version()))))
        print("#  size  count  type  redop  root  %s  %s" % (columns, columns))
        row = "%12d %12d   float  %5s     -1 " % (size, count, redop)
        print(row + " ".join(text for text, _ in results))
        wrong = sum(int(text.split()[-1]) for text, _ in results)
        print("# Out of bounds values : %d %s" % (wrong, "FAILED" if wrong else "OK"))
        print("# Avg bus bandwidth    : %.4f" % (sum(rate for _, rate in results) / len(results)))
        sys.stdout.flush()
    dist.destroy_process_group()
    os._exit(0)


main()
