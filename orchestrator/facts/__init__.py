"""What is read from a host: one Query a file, all in one round trip."""

from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.facts.containers import ReadContainers
from orchestrator.facts.disk import ReadDisk
from orchestrator.facts.driver import ReadDriver
from orchestrator.facts.file import ReadFile
from orchestrator.facts.frames import ReadFrames
from orchestrator.facts.gpus import ReadGpus
from orchestrator.facts.identity import Identify
from orchestrator.facts.image import ReadImage
from orchestrator.facts.ip_settings import ReadIpSettings
from orchestrator.facts.limits import ReadLimits
from orchestrator.facts.listening import ReadListening
from orchestrator.facts.lldp import ReadLldp
from orchestrator.facts.memory import ReadMemory
from orchestrator.facts.neighbours import ReadNeighbours
from orchestrator.facts.netplan import ReadNetplan
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.oom import ReadOomKillers
from orchestrator.facts.packages import ReadPackages
from orchestrator.facts.path import ReadPath
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.facts.profiles import ReadProfiles
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters
from orchestrator.facts.sources import ReadSources
from orchestrator.facts.tools import ReadTools

__all__ = [
    "Identify",
    "ReadContainerEngine",
    "ReadContainers",
    "ReadDisk",
    "ReadDriver",
    "ReadFile",
    "ReadFrames",
    "ReadGpus",
    "ReadImage",
    "ReadIpSettings",
    "ReadLimits",
    "ReadListening",
    "ReadLldp",
    "ReadMemory",
    "ReadNeighbours",
    "ReadNetplan",
    "ReadNetwork",
    "ReadOomKillers",
    "ReadPackages",
    "ReadPath",
    "ReadPcie",
    "ReadPrivilege",
    "ReadProfiles",
    "ReadRdma",
    "ReadRdmaCounters",
    "ReadSources",
    "ReadTools",
]
