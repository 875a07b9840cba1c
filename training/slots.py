"""Filling `{{slot}}`s: each call draws another plausible value, so that no template is learnt by its numbers or names."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

SLOT = re.compile(r"\{\{(\w+)\}\}")

USERS = (
    "carla jkim deploy ansible root2 mwalker svc-backup jenkins olga.petrova tomasz www-data amira build7 u10442 "
    "postgres etl_runner n.okafor guest01 lin.wei grafana hadoop backup-agent dkarlsson pfischer ops kiosk ruiz_a "
    "support airflow maria student14 CORP\\jsmith CORP\\svc_sql sato.k ci-bot rpatel zabbix anna nagios yosef"
).split()
HOSTS = (
    "web db app node cache worker edge mail gw fs build storage lb kafka compute ceph-osd vm hv nas print dc sw core "
    "login gpu es broker proxy backup pg ns"
).split()
SITES = "fra1 ams3 east west rack4 prod stage lab hq dmz az2".split()
DOMAINS = (
    "example.org example.com example.net corp.example internal.example lan.example svc.cluster.local cloud.example "
    "shop.example campus.example infra.example.com eu.example.net"
).split()
SUBDOMAINS = (
    "mail api www auth cdn ldap registry git vault metrics mx1 ns2 updates s3 files broker relay intranet".split()
)
SERVICES = (
    "billing checkout orders inventory auth gateway search payments notifier scheduler catalog reports indexer "
    "shipping profile media-encoder recommender ledger sessiond session-store ingest webhook-relay mailer thumbnailer "
    "audit-log pricing fraud-check geo exporter syncer"
).split()
DATABASES = "shop billing analytics crm users inventory orders_eu reporting warehouse telemetry wiki sessions tickets app_prod".split()
TABLES = (
    "orders customers invoices events line_items sessions audit_log products payments shipments users page_views "
    "public.accounts metrics_hourly messages order_items device_readings"
).split()
PATH_ROOTS = (
    "/srv /var/lib /var/log /opt /data /mnt/storage /home/carla /usr/share /etc /var/spool /tmp /usr/local/lib".split()
)
DIRECTORIES = "app nginx mysql reports cache uploads backup postgresql docker images queue conf.d releases spool models exports".split()
STEMS = "report data invoice backup index config users session dump snapshot photo main export catalog state module part-00012".split()
EXTENSIONS = "csv db json log conf yaml xml txt so jar tar.gz png service py sql parquet ini pdf tmp".split()
WINDOWS_ROOTS = (
    r"C:\Program Files\Acme", r"C:\Windows\System32", r"C:\ProgramData\Agent", r"D:\Data", r"C:\Users\carla\AppData\Local",
    r"E:\SQLData", r"C:\inetpub\wwwroot", r"C:\Windows\Temp",
)  # fmt: skip
WINDOWS_FILES = (
    "app.exe service.exe agent.dll setup.msi update.cab report.xlsx settings.xml store.mdb driver.sys log.txt".split()
)
DISKS = "sda sdb sdc sdk nvme0n1 nvme1n1 vda vdb md0 dm-3 mmcblk0 xvdf sda1 nvme0n1p2".split()
INTERFACES = "eth0 eth1 eno1 ens192 enp3s0 bond0 wlan0 br-lan veth3f2a1c0 vlan120 en0 wlp2s0 docker0 tun0 ib0".split()
PACKAGES = "com.acme.billing com.example.shop org.example.core io.acme.gateway net.example.sync com.initech.reports Acme.Orders".split()
CLASSES = (
    "InvoiceService OrderController CacheManager JobScheduler ConnectionPool UserRepository MessageListener HttpClient "
    "PaymentHandler SessionStore MainActivity SyncWorker QueryPlanner TokenFilter"
).split()
URL_PATHS = "v1/orders health login api/v2/users/4312 metrics index.html graphql static/app.js upload oauth/token search?q=lamp feed.xml".split()
SIZE_UNITS = "B KB MB GB KiB MiB GiB TB kB M G".split()
EPOCH = datetime(2023, 1, 1, tzinfo=UTC)


def slot_names(template: str) -> list[str]:
    """The slots of a template, in order."""
    return SLOT.findall(template)


def fill(template: str, rng: random.Random) -> str:
    """The template with every slot drawn anew from `rng`."""
    return SLOT.sub(lambda slot: FILLERS[slot[1]](rng), template)


def _hex(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def _ip(rng: random.Random) -> str:
    networks = (
        "10.{}.{}.{}",
        "192.168.{1}.{2}",
        "172.16.{1}.{2}",
        "203.0.113.{2}",
        "198.51.100.{2}",
        "192.0.2.{2}",
        "127.0.0.1",
    )
    return rng.choice(networks).format(rng.randrange(256), rng.randrange(256), rng.randrange(1, 255))


def _ip6(rng: random.Random) -> str:
    forms = (
        lambda: f"2001:db8::{_hex(rng, 1)}",
        lambda: f"fe80::{_hex(rng, 4)}:{_hex(rng, 2)}ff:fe{_hex(rng, 2)}:{_hex(rng, 4)}",
        lambda: "2001:db8:" + ":".join(_hex(rng, 4) for _ in range(6)),
        lambda: "::1",
    )
    return rng.choice(forms)()


def _mac(rng: random.Random) -> str:
    octets = ":".join(_hex(rng, 2) for _ in range(6))
    return rng.choice((octets, octets, octets.upper(), octets.replace(":", "-")))


def _host(rng: random.Random) -> str:
    role, site, number = rng.choice(HOSTS), rng.choice(SITES), rng.randrange(1, 40)
    return rng.choice(
        (f"{role}-{number:02}", f"{role}{number}", f"{role}-{site}-{number}", f"{site}-{role}{number:02}", role)
    )


def _fqdn(rng: random.Random) -> str:
    return f"{rng.choice((rng.choice(SUBDOMAINS), _host(rng)))}.{rng.choice(DOMAINS)}"


def _email(rng: random.Random) -> str:
    _, _, user = rng.choice(USERS).rpartition("\\")
    return f"{user}@{rng.choice(DOMAINS)}"


def _url(rng: random.Random) -> str:
    port = rng.choice(("", "", "", ":8080", ":8443", ":9200"))
    return f"{rng.choice(('https', 'https', 'http'))}://{_fqdn(rng)}{port}/{rng.choice(URL_PATHS)}"


def _file(rng: random.Random) -> str:
    suffix = rng.choice(("", "", "", f"-{rng.randrange(1, 900)}", f"_{_date(rng)}", f".{rng.randrange(1, 9)}"))
    return f"{rng.choice(STEMS)}{suffix}.{rng.choice(EXTENSIONS)}"


def _path(rng: random.Random) -> str:
    directories = rng.sample(DIRECTORIES, rng.randrange(0, 3))
    return "/".join([rng.choice(PATH_ROOTS), *directories, _file(rng)])


def _moment(rng: random.Random) -> datetime:
    return EPOCH + timedelta(seconds=rng.randrange(4 * 365 * 86_400), microseconds=rng.randrange(1_000_000))


def _timestamp(rng: random.Random) -> str:
    forms = (
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S,%f",
        "%Y-%m-%dT%H:%M:%S.%f+00:00",
        "%d/%b/%Y:%H:%M:%S +0000",
        "%b %d %H:%M:%S",
    )
    return _moment(rng).strftime(rng.choice(forms))


def _date(rng: random.Random) -> str:
    return _moment(rng).strftime(rng.choice(("%Y-%m-%d", "%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")))


def _time(rng: random.Random) -> str:
    return _moment(rng).strftime(rng.choice(("%H:%M:%S", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M")))


def _version(rng: random.Random) -> str:
    number = ".".join(str(rng.randrange(0, 30)) for _ in range(rng.choice((2, 3, 3, 3, 4))))
    return (
        rng.choice(("", "", "", "v")) + number + rng.choice(("", "", "", "", "-rc1", "-1.el9", "+build.7", "-alpine"))
    )


def _size(rng: random.Random) -> str:
    number = rng.choice((str(rng.randrange(1, 1024)), f"{rng.uniform(1, 999):.1f}", f"{rng.uniform(1, 99):.2f}"))
    return number + rng.choice((" ", " ", "")) + rng.choice(SIZE_UNITS)


def _pod(rng: random.Random) -> str:
    tail = "".join(rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    return rng.choice((f"{rng.choice(SERVICES)}-{_hex(rng, 9)}-{tail}", f"{rng.choice(SERVICES)}-{rng.randrange(6)}"))


def _float(rng: random.Random) -> str:
    return f"{rng.choice((rng.random(), rng.uniform(0, 40))):.{rng.randrange(1, 5)}f}"


def _number(low: int, high: int) -> Callable[[random.Random], str]:
    return lambda rng: str(rng.randint(low, high))


def _one_of(values: tuple[str, ...] | list[str]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


FILLERS: dict[str, Callable[[random.Random], str]] = {
    "ip": _ip,
    "ip6": _ip6,
    "port": _number(1024, 65_535),
    "mac": _mac,
    "host": _host,
    "fqdn": _fqdn,
    "url": _url,
    "user": _one_of(USERS),
    "email": _email,
    "path": _path,
    "file": _file,
    "winpath": lambda rng: f"{rng.choice(WINDOWS_ROOTS)}\\{rng.choice(WINDOWS_FILES)}",
    "dev": _one_of(DISKS),
    "iface": _one_of(INTERFACES),
    "pid": _number(1, 32_768),
    "small": _number(1, 20),
    "int": _number(21, 9_999),
    "big": lambda rng: str(int(10 ** rng.uniform(4, 12))),
    "hex": lambda rng: f"0x{_hex(rng, rng.choice((2, 4, 8, 8, 12, 16)))}",
    "hex8": lambda rng: _hex(rng, 8),
    "sha": lambda rng: _hex(rng, 40),
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "ms": _number(1, 400),
    "sec": _number(1, 59),
    "float": _float,
    "size": _size,
    "pct": _number(1, 70),
    "ts": _timestamp,
    "date": _date,
    "time": _time,
    "ver": _version,
    "service": _one_of(SERVICES),
    "pod": _pod,
    "db": _one_of(DATABASES),
    "table": _one_of(TABLES),
    "class": lambda rng: rng.choice((f"{rng.choice(PACKAGES)}.{rng.choice(CLASSES)}", rng.choice(CLASSES))),
}
"""What each slot of the corpus is filled with; `corpus/README.md` describes them to writers."""
