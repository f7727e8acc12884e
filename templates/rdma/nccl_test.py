"""Bus bandwidth of NCCL between hosts, by the image's own torch: the measurement and the table of nccl-tests.

Images that serve models have torch and NCCL, and seldom nccl-tests with MPI. One rank and one GPU a host.
torch reduces in place alone: both halves of all_reduce's row are in place.
"""

import ctypes
import os
import sys
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

WARM_UPS, TIMES = 5, 20
MOST_S = 20  # of one half: a slow link gets fewer calls
PATIENCE = timedelta(seconds=180)  # until all ranks are there, and of one call
WORD = 4  # bytes of a float


def over_ranks(value):
    """The sum over all ranks, the same on each."""
    each = torch.tensor([value], dtype=torch.float64, device="cuda")
    dist.all_reduce(each)
    return each.item()


def seconds(work, times):
    """Of one call, the mean of all ranks."""
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return over_ranks((time.perf_counter() - start) / times) / dist.get_world_size()


def timed(work):
    """Seconds of one call, over many; as many on each rank."""
    work()  # connects
    most = max(1, int(MOST_S / seconds(work, 1)))
    for _ in range(min(WARM_UPS, most)):
        work()
    return seconds(work, min(TIMES, most))


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
        whole.zero_()  # what the call before left would be right too
        source.fill_(float(rank + 1))
        spent = timed(lambda source=source: dist.all_gather_into_tensor(whole, source))
        wanted = torch.arange(1, world + 1, device="cuda", dtype=torch.float32)
        wrong = int((whole.view(world, each) != wanted[:, None]).sum())
        results.append(half(size, spent, (world - 1) / world, int(over_ranks(wrong))))
    return results, "none", each


def all_reduce(size, rank, world):
    count = size // WORD
    data = torch.empty(count, device="cuda")
    results = []
    for _ in range(2):
        data.fill_(float(rank + 1))
        dist.all_reduce(data)
        wrong = int((data != world * (world + 1) / 2).sum())
        data.zero_()  # sums of sums would end at infinity
        spent = timed(lambda: dist.all_reduce(data))
        results.append(half(size, spent, 2 * (world - 1) / world, int(over_ranks(wrong))))
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
    torch.cuda.set_device(0)  # the only one that the container was given, or the first of them
    dist.init_process_group("nccl", timeout=PATIENCE, device_id=torch.device("cuda", 0))
    rank, world = dist.get_rank(), dist.get_world_size()
    size -= size % (WORD * world)
    results, redop, count = {"all_gather": all_gather, "all_reduce": all_reduce}[name](
        size, rank, world
    )
    if rank == 0:
        sys.stdout.write("\n".join([*table(size, count, redop, results), ""]))
    dist.destroy_process_group()  # waits until what others still need of this rank is sent


def ended(code):
    """At once, past threads that would wait for ranks that are gone; NCCL's lines are in C's buffers."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)
    os._exit(code)


try:
    main()
except BaseException:
    traceback.print_exc()
    ended(1)
ended(0)
