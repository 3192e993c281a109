"""What a guest is told at its first boot, and what it is started with."""

from __future__ import annotations

import base64
import email
import io
import json
from pathlib import Path

import pycdlib
import pytest

from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import cloudinit, disks, isofiles, life, resources, volumes
from arktos.vmruntime.qemu_command import arguments
from arktos.vmruntime.records import DiskSpec, Hardware, NicSpec
from arktos.vmruntime.snapshots import check_name


def _annotation(**fields: object) -> str:
    if isinstance(fields.get("userData"), bytes):
        fields["userData"] = base64.b64encode(fields["userData"]).decode()  # type: ignore[arg-type]
    return json.dumps(fields)


def test_meta_data() -> None:
    data = cloudinit.parse(_annotation(sshKeys=["ssh-ed25519 AAAA  me"], instanceId="i-1"))
    files = cloudinit.files(data, hostname="web", instance_id="pod")
    assert files["user-data"].startswith(b"#cloud-config")
    text = files["meta-data"].decode().splitlines()
    assert text == ["instance-id: i-1", "local-hostname: web", "public-keys:", '  - "ssh-ed25519 AAAA me"']
    assert b"instance-id: pod" in cloudinit.files(cloudinit.BootData(), hostname="w", instance_id="pod")["meta-data"]


def test_user_data_is_taken_as_it_is() -> None:
    for content in (b"#cloud-config\na: 1\n", b"#!/bin/sh\ntrue\n", b"## template: jinja\n#cloud-config\n", b"what?"):
        assert cloudinit.user_data(cloudinit.parse(_annotation(userData=content))) == content
    assert cloudinit.user_data(cloudinit.parse(_annotation(script="true"))) == b"#!/bin/sh\ntrue"


def test_user_data_and_a_script_become_two_parts() -> None:
    data = cloudinit.parse(_annotation(userData=b"#cloud-config\nhostname: x\n", script="#!/bin/bash\necho hi\n"))
    message = email.message_from_bytes(cloudinit.user_data(data))
    parts = [(part.get_content_type(), part.get_payload(decode=True)) for part in message.get_payload()]  # type: ignore[union-attr]
    assert parts == [
        ("text/cloud-config", b"#cloud-config\nhostname: x\n"),
        ("text/x-shellscript", b"#!/bin/bash\necho hi\n"),
    ]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "annotations[arktos.io/virtual-machine]: not JSON"),
        ("[]", "must be a JSON object"),
        ('{"userData": "%"}', "userData: not base64"),
        ('{"userData": 1}', "userData: must be a string"),
        ('{"sshKeys": "k"}', "sshKeys: must be a list"),
        ('{"hostname": "a b"}', "hostname: 'a b' is not a host name"),
        ('{"rootSize": "4Gx"}', "rootSize"),
        ('{"rootSize": "-1"}', "rootSize"),
        ('{"instanceId": "a\\nb: c"}', "instanceId: must be one line"),
    ],
)
def test_broken_annotations_are_explained(text: str, field: str) -> None:
    with pytest.raises(RpcError) as caught:
        cloudinit.parse(text)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert field in caught.value.message


def test_the_seed_can_be_read_by_either_long_name(tmp_path: Path) -> None:
    isofiles.write(tmp_path / "seed", "cidata", {"meta-data": b"m\n", "user-data": b"u\n"})
    disc = pycdlib.PyCdlib()
    disc.open(str(tmp_path / "seed"))
    for place in ({"rr_path": "/user-data"}, {"joliet_path": "/user-data"}):
        content = io.BytesIO()
        disc.get_file_from_iso_fp(content, **place)
        assert content.getvalue() == b"u\n"
    assert disc.pvd.volume_identifier.strip() == b"cidata"
    disc.close()


def test_resources() -> None:
    made = pb.LinuxContainerResources
    assert (resources.cpus(made()), resources.memory_mib(made())) == (1, 1024)
    assert resources.cpus(made(cpu_quota=150_000, cpu_period=100_000)) == 2
    assert resources.cpus(made(cpu_shares=3072)) == 3
    assert resources.cpus(made(cpu_quota=10**9, cpu_period=1000)) == 255
    assert resources.memory_mib(made(memory_limit_in_bytes=(64 << 20) + 1)) == 65


def test_volumes_as_disks(tmp_path: Path) -> None:
    content, empty, block = tmp_path / "settings", tmp_path / "scratch", tmp_path / "a,long-name-for-a-serial-number"
    content.mkdir()
    (content / "..data").symlink_to(".")
    (content / "key").write_text("value")
    empty.mkdir()
    block.write_bytes(b"QFI\xfb")
    paths = [content, empty, block, tmp_path / "more" / "scratch"]
    (tmp_path / "more" / "scratch").mkdir(parents=True)
    planned = volumes.plan(pb.Mount(host_path=str(path), container_path="/x") for path in paths)
    assert [each.disk.serial for each in planned] == ["settings", "scratch", "along-name-for-a-ser", "scratch-2"]
    assert planned[0].disk.read_only and planned[0].content
    assert planned[1].scratch and planned[1].disk.path == str(empty / "disk.img")
    # A file is what its name says, whatever a guest may have written into it.
    assert planned[2].disk.format == "raw"
    volumes.write_content(planned[0], tmp_path)
    disc = pycdlib.PyCdlib()
    disc.open(str(tmp_path / planned[0].disk.path))
    assert [child.rock_ridge.name() for child in disc.list_children(iso_path="/") if child.is_file()] == [b"key"]
    disc.close()
    with pytest.raises(RpcError, match=r"mounts\[0\].host_path: /nowhere: No such file"):
        volumes.plan([pb.Mount(host_path="/nowhere")])
    with pytest.raises(RpcError, match="neither a file"):
        volumes.plan([pb.Mount(host_path="/dev/null")])


def test_links_in_a_volume_lead_nowhere_else(tmp_path: Path) -> None:
    """A container that shares the volume may have put them there."""
    volume, secret = tmp_path / "volume", tmp_path / "volume-of-another"
    volume.mkdir()
    secret.write_text("secret")
    (volume / "own").write_text("mine")
    (volume / "inside").symlink_to("own")
    (volume / "outside").symlink_to(secret)
    (volume / "up").symlink_to("../volume-of-another")
    (volume / "device").symlink_to("/dev/zero")
    assert dict(volumes._content(volume)) == {"own": b"mine", "inside": b"mine"}


async def test_a_scratch_disk_overwrites_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    disk = tmp_path / "disk.img"
    (tmp_path / "disk.img.new").symlink_to(victim)
    await disks.make_filesystem(disk, "scratch", 1 << 20)
    assert victim.read_text() == "precious" and disk.stat().st_size == 1 << 20
    assert disk.read_bytes()[0x438:0x43A] == b"\x53\xef"  # ext4's mark
    disk.unlink()
    disk.symlink_to(victim)
    hardware = Hardware(
        cpus=1,
        memory_mib=1,
        accelerator="tcg",
        base_path=str(victim),
        base_format="raw",
        disks=(DiskSpec(serial="scratch", path=str(disk)),),
        nics=(),
    )
    with pytest.raises(OSError, match="symbolic links"):
        life._open_all(hardware, "")


def test_the_command_names_everything_and_hides_nothing() -> None:
    hardware = Hardware(
        cpus=2,
        memory_mib=300,
        accelerator="tcg",
        base_path="/images/x",
        base_format="raw",
        disks=(DiskSpec(serial="cidata", path="cidata.iso", read_only=True), DiskSpec(serial="v", path="/v/a,b")),
        nics=(NicSpec(tap="tap0", mac="02:00:00:00:00:01", mtu=1400),),
    )
    command = " ".join(arguments("id", hardware, {"/images/x": 7, "/v/a,b": 8}, [9]))
    for part in (
        "-smp 2 -S -m 300M -nodefaults -no-user-config -display none -sandbox on,",
        "-add-fd fd=7,set=1 -blockdev driver=raw,node-name=base,read-only=on,file.driver=file",
        "driver=qcow2,node-name=root,file.driver=file,file.filename=root.qcow2,backing=base",
        "drive=root,serial=root,bootindex=0",
        "driver=raw,node-name=disk0,file.driver=file,file.filename=cidata.iso,read-only=on",
        "-add-fd fd=8,set=3 -blockdev driver=raw,node-name=disk1",
        "-netdev tap,id=net0,fd=9,vhost=off",
        "mac=02:00:00:00:00:01,host_mtu=1400",
    ):
        assert part in command, part
    assert arguments("id", hardware, {"/images/x": 7, "/v/a,b": 8}, [9], 11)[-2:] == ["-incoming", "fd:11"]


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "a" * 64, "12", "a b"])
def test_snapshot_names(name: str) -> None:
    check_name("before-update.1")
    with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
        check_name(name)
