"""What is wrong with a link: each rule looks for one cause of knowledge/rdma.yaml in what was measured and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

from orchestrator.knowledge.fabric import Entry, causes, failures
from orchestrator.rdma.answers import Failure, Reason, Test
from orchestrator.rdma.condition import Condition
from orchestrator.rdma.material import Case, Material

Values = dict[str, object]
Rule = Callable[[Case, Entry], Iterator[Values]]

BLOCKED = (
    "firewall",
    "nothing-moved",
    "no-path",
    "no-server",
    "timed-out",
    "mtu-path",
    "peer-gone",
)
# names as mlx5, rxe and the netdev's own statistics have them
CABLE = frozenset(
    (
        "symbol_error",
        "link_error_recovery",
        "local_link_integrity_errors",
        "port_rcv_errors",
        "excessive_buffer_overrun_errors",
    )
)
AT_ONCE = frozenset(("link_downed", "carrier_changes"))  # one is one too many
LOST = frozenset(
    (
        "out_of_sequence",
        "out_of_seq_request",
        "packet_seq_err",
        "rcvd_seq_err",
        "implied_nak_seq_err",
        "duplicate_request",
        "out_of_buffer",
        "local_ack_timeout_err",
        "retry_exceeded_err",
        "rnr_nak_retry_err",
        "roce_adp_retrans",
        "roce_slow_restart",
        "port_xmit_discards",
        "rx_discards_phy",
        "tx_discards_phy",
        "rx_dropped",
    )
)
LINK_LOCAL = "169.254."
ETHERNET = "ethernet"
ROCE_V2 = "RoCE v2"
HEADERS = 28  # IPv4 and ICMP


def found(case: Case) -> tuple[Reason, ...]:
    """Why this test is not healthy: what the tool said, then causes, deepest first; never nothing."""
    told = failed(case.test, case.measured.failure) if case.measured is not None else None
    reasons = [told] if told is not None else []
    for name, rule in RULES.items():
        entry = causes()[name]
        if reasons and not entry.first:
            continue
        reasons += [reason(name, case.test, **values) for values in rule(case, entry)]
    return tuple(reasons)


def failed(test: Test, failure: Failure | None) -> Reason | None:
    """A failure's entry, with what the tool said; of a kind that nobody knows as well."""
    if failure is None:
        return None
    known = failures().get(failure.kind, failures()["tool-failed"])
    return Reason(failure.kind, known.cause, known.remedy, failure.said)


def reason(name: str, test: Test, **values: object) -> Reason:
    """A cause's entry with its values; `evidence` among them stands beside it."""
    entry, lane = causes()[name], test.lane
    given: Values = {
        "client": lane.client.host,
        "server": lane.server.host,
        "netdev": lane.client.netdev,
        "rdma": lane.client.rdma or "the device",
        **values,
    }
    evidence = str(given.get("evidence", ""))
    return Reason(name, entry.cause.format_map(given), entry.remedy.format_map(given), evidence)


def _at(end: Condition, found: object = "", wanted: object = "", **more: object) -> Values:
    values: Values = {
        "host": end.host,
        "netdev": end.netdev,
        "found": found,
        "wanted": wanted,
        **more,
    }
    if end.rdma:
        values["rdma"] = end.rdma
    return values


def gbps_text(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


# --- rules, by the name of their entry ---------------------------------------------------------------


def _no_link(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        if end.up is False:
            yield _at(end, "down")
        elif end.carrier is False:
            yield _at(end, "without a carrier")


def _one_subnet(case: Case, entry: Entry) -> Iterator[Values]:
    """Two halves of a host in one /24, or both link-local."""
    for end in case.ends:
        mine = [one for one in case.material.conditions if one.host == end.host and one.address]
        for other in mine:
            if other.netdev == end.netdev or not end.address or not other.address:
                continue
            if _subnet(other.address) == _subnet(end.address):
                yield _at(end, f"{end.address}, {other.address}")


def _subnet(address: str) -> str:
    return LINK_LOCAL if address.startswith(LINK_LOCAL) else address.rpartition(".")[0]


def _no_ping(case: Case, entry: Entry) -> Iterator[Values]:
    if any(_no_link(case, entry)):
        return  # that is why
    for end in case.ends:
        if end.ping is False:
            yield _at(end)


def _mtu_differs(case: Case, entry: Entry) -> Iterator[Values]:
    one, other = sorted(case.ends, key=lambda end: end.host)  # the same words in both directions
    if one.mtu is not None and other.mtu is not None and one.mtu != other.mtu:
        yield _at(one, f"{one.host} {one.mtu}, {other.host} {other.mtu}")


def _path_mtu(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        if end.ping and end.ping_full is False:
            yield _at(end, wanted=end.mtu - HEADERS if end.mtu else 8972)


def _not_ethernet(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        if end.link_layer and end.link_layer.lower() != ETHERNET:
            yield _at(end, end.link_layer)


def _no_gid(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        if end.gids is not None and end.address and not _has_gid(end, end.address):
            yield _at(end, end.address)


def _has_gid(end: Condition, address: str) -> bool:
    try:
        wanted = IPv6Address(f"::ffff:{IPv4Address(address)}")
        return any(
            kind == ROCE_V2 and IPv6Address(gid) == wanted for _, gid, kind in end.gids or ()
        )
    except ValueError:
        return False


def _firewall(case: Case, entry: Entry) -> Iterator[Values]:
    if case.failure in BLOCKED:
        for end in case.ends:
            if end.firewall:
                yield _at(end, "; ".join(end.firewall))


def _link_slow(case: Case, entry: Entry) -> Iterator[Values]:
    cable = case.material.cable_gbps
    for end in case.ends:
        if cable is not None and end.speed_mbps and not end.soft and end.speed_mbps < cable * 1000:
            yield _at(
                end,
                f"{end.speed_mbps / 1000:g}",
                f"{cable:g}",
                evidence=f"Speed: {end.speed_mbps}Mb/s",
            )


def _pcie_narrow(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        pcie = end.pcie
        if pcie and pcie.width and pcie.max_width and pcie.width < pcie.max_width:
            yield _at(end, pcie.width, pcie.max_width)


def _pcie_slow(case: Case, entry: Entry) -> Iterator[Values]:
    for end in case.ends:
        pcie = end.pcie
        if pcie and pcie.gts and pcie.max_gts and pcie.gts < pcie.max_gts:
            yield _at(end, f"{pcie.gts:g}", f"{pcie.max_gts:g}")


def _power_cycle(case: Case, entry: Entry) -> Iterator[Values]:
    """Only where link and PCIe are known to be right: else they are the cause."""
    gbps = _of_a_fast_half(case, entry)
    if gbps is None or not entry.number("from_gbps") <= gbps <= entry.number("to_gbps"):
        return
    if all(_full(end, case.material) for end in case.ends):
        yield _at(case.ends[0], gbps_text(gbps), f"{(case.ends[0].speed_mbps or 0) / 1000:g}")


def _full(end: Condition, material: Material) -> bool:
    """Link and PCIe run as they should, and somebody looked."""
    if end.speed_mbps is None or end.pcie is None or end.pcie.gbps is None:
        return False
    wide = end.pcie.max_gbps is None or end.pcie.gbps >= end.pcie.max_gbps
    return wide and end.speed_mbps >= (material.cable_gbps or 200) * 1000


def _of_a_fast_half(case: Case, entry: Entry) -> float | None:
    """The rate of one direction over RDMA, where the half should give much more than any network beside it."""
    healthy = case.material.expectation("alone").healthy_gbps
    fast = healthy is not None and healthy >= entry.number("needs_gbps")
    return case.gbps if fast and case.test.way == "rdma" and case.test.load != "both-ways" else None


def _cable_errors(case: Case, entry: Entry) -> Iterator[Values]:
    yield from cable_errors(case.material, case.test)


def cable_errors(material: Material, test: Test) -> Iterator[Values]:
    """Errors of the cable itself while it was measured: a link with them is degraded, however fast."""
    most = causes()["cable-errors"].number("most")
    for host, counted in _errors(material, test).items():
        bad = {
            n: c
            for n, c in counted.items()
            if (n in AT_ONCE and c > 0) or (n in CABLE and c > most)
        }
        if bad:
            yield {"host": host, "found": _listed(bad)}


def _drops(case: Case, entry: Entry) -> Iterator[Values]:
    for host, counted in _errors(case.material, case.test).items():
        lost = {name: count for name, count in counted.items() if name in LOST and count > 0}
        if lost:
            yield {"host": host, "found": _listed(lost)}


def _errors(material: Material, test: Test) -> dict[str, dict[str, int]]:
    """Host → counter → by how much it went up: during this test, or while the link was looked at."""
    ends = (material.condition(test.lane.client), material.condition(test.lane.server))
    counted: dict[str, dict[str, int]] = {end.host: dict(end.errors) for end in ends}
    measured = material.measured.get(test.id)
    for key, count in (measured.errors if measured else {}).items():
        host, _, name = key.partition(" ")
        each = counted.setdefault(host, {})
        each[name] = max(count, each.get(name, 0))
    return counted


def _listed(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} +{count}" for name, count in sorted(counted.items()))


def _one_way(case: Case, entry: Entry) -> Iterator[Values]:
    """The same half, the same load, data the other way."""
    lane = case.test.lane
    for other in case.material.bandwidths(case.test.load):
        if (other.lane.half, other.lane.hosts) == (lane.half, lane.hosts[::-1]):
            back = case.material.rate(other)
            if _much_less(case.gbps, back, entry):
                yield {"found": gbps_text(case.gbps or 0), "wanted": gbps_text(back or 0)}


def _one_half(case: Case, entry: Entry) -> Iterator[Values]:
    """The same direction, the same load, another half."""
    lane = case.test.lane
    for other in case.material.bandwidths(case.test.load):
        if other.lane.hosts == lane.hosts and other.lane.half != lane.half:
            rate = case.material.rate(other)
            if _much_less(case.gbps, rate, entry):
                yield {"found": gbps_text(case.gbps or 0), "wanted": gbps_text(rate or 0)}


def _much_less(one: float | None, other: float | None, entry: Entry) -> bool:
    return one is not None and other is not None and one < entry.number("share") * other


def _active_mtu(case: Case, entry: Entry) -> Iterator[Values]:
    if case.test.way != "rdma":
        return
    wanted = entry.number("wanted")
    small = [end for end in case.ends if end.active_mtu is not None and end.active_mtu < wanted]
    for end in small:
        yield _at(end, end.active_mtu)
    used = case.measured.mtu if case.measured else None
    if not small and used is not None and used < wanted:
        yield _at(case.ends[0], used)


def _wrong_path(case: Case, entry: Entry) -> Iterator[Values]:
    gbps = _of_a_fast_half(case, entry)
    if gbps is not None and gbps < entry.number("to_gbps"):
        yield {"found": gbps_text(gbps)}


def _limited(case: Case, entry: Entry) -> Iterator[Values]:
    gbps = _of_a_fast_half(case, entry)
    if gbps is not None and entry.number("from_gbps") <= gbps < entry.number("to_gbps"):
        yield {"found": gbps_text(gbps)}


def _firmware(case: Case, entry: Entry) -> Iterator[Values]:
    one, other = case.ends
    if one.firmware and other.firmware and one.firmware != other.firmware:
        yield {"found": f"{one.host} {one.firmware}, {other.host} {other.firmware}"}


def _slow(case: Case, entry: Entry) -> Iterator[Values]:
    wanted = case.expected.healthy_gbps
    if case.total is not None and wanted is not None and case.total < wanted:
        yield {"found": gbps_text(case.total), "wanted": gbps_text(wanted)}


RULES: dict[str, Rule] = {
    "no-link": _no_link,
    "one-subnet": _one_subnet,
    "no-ping": _no_ping,
    "mtu-differs": _mtu_differs,
    "path-mtu": _path_mtu,
    "not-ethernet": _not_ethernet,
    "no-gid": _no_gid,
    "firewall-in-the-way": _firewall,
    "link-slow": _link_slow,
    "pcie-narrow": _pcie_narrow,
    "pcie-slow": _pcie_slow,
    "power-cycle": _power_cycle,
    "cable-errors": _cable_errors,
    "drops": _drops,
    "wrong-path": _wrong_path,
    "limited": _limited,
    "one-way": _one_way,
    "one-half": _one_half,
    "active-mtu": _active_mtu,
    "firmware-differs": _firmware,
    "slow": _slow,
}
