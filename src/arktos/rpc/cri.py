"""The methods of the Container Runtime Interface v1 (k8s.io/cri-api); messages are in `protos.cri_pb2`."""

from __future__ import annotations

from arktos.rpc.method import Method
from arktos.rpc.protos import cri_pb2 as pb

_RUNTIME_SERVICE = "runtime.v1.RuntimeService"
VERSION = Method(_RUNTIME_SERVICE, "Version", pb.VersionRequest, pb.VersionResponse)
RUN_POD_SANDBOX = Method(_RUNTIME_SERVICE, "RunPodSandbox", pb.RunPodSandboxRequest, pb.RunPodSandboxResponse)
STOP_POD_SANDBOX = Method(_RUNTIME_SERVICE, "StopPodSandbox", pb.StopPodSandboxRequest, pb.StopPodSandboxResponse)
REMOVE_POD_SANDBOX = Method(
    _RUNTIME_SERVICE, "RemovePodSandbox", pb.RemovePodSandboxRequest, pb.RemovePodSandboxResponse
)
POD_SANDBOX_STATUS = Method(
    _RUNTIME_SERVICE, "PodSandboxStatus", pb.PodSandboxStatusRequest, pb.PodSandboxStatusResponse
)
LIST_POD_SANDBOX = Method(_RUNTIME_SERVICE, "ListPodSandbox", pb.ListPodSandboxRequest, pb.ListPodSandboxResponse)
CREATE_CONTAINER = Method(_RUNTIME_SERVICE, "CreateContainer", pb.CreateContainerRequest, pb.CreateContainerResponse)
START_CONTAINER = Method(_RUNTIME_SERVICE, "StartContainer", pb.StartContainerRequest, pb.StartContainerResponse)
STOP_CONTAINER = Method(_RUNTIME_SERVICE, "StopContainer", pb.StopContainerRequest, pb.StopContainerResponse)
REMOVE_CONTAINER = Method(_RUNTIME_SERVICE, "RemoveContainer", pb.RemoveContainerRequest, pb.RemoveContainerResponse)
LIST_CONTAINERS = Method(_RUNTIME_SERVICE, "ListContainers", pb.ListContainersRequest, pb.ListContainersResponse)
CONTAINER_STATUS = Method(_RUNTIME_SERVICE, "ContainerStatus", pb.ContainerStatusRequest, pb.ContainerStatusResponse)
UPDATE_CONTAINER_RESOURCES = Method(
    _RUNTIME_SERVICE,
    "UpdateContainerResources",
    pb.UpdateContainerResourcesRequest,
    pb.UpdateContainerResourcesResponse,
)
REOPEN_CONTAINER_LOG = Method(
    _RUNTIME_SERVICE, "ReopenContainerLog", pb.ReopenContainerLogRequest, pb.ReopenContainerLogResponse
)
EXEC_SYNC = Method(_RUNTIME_SERVICE, "ExecSync", pb.ExecSyncRequest, pb.ExecSyncResponse)
EXEC = Method(_RUNTIME_SERVICE, "Exec", pb.ExecRequest, pb.ExecResponse)
ATTACH = Method(_RUNTIME_SERVICE, "Attach", pb.AttachRequest, pb.AttachResponse)
PORT_FORWARD = Method(_RUNTIME_SERVICE, "PortForward", pb.PortForwardRequest, pb.PortForwardResponse)
CONTAINER_STATS = Method(_RUNTIME_SERVICE, "ContainerStats", pb.ContainerStatsRequest, pb.ContainerStatsResponse)
LIST_CONTAINER_STATS = Method(
    _RUNTIME_SERVICE, "ListContainerStats", pb.ListContainerStatsRequest, pb.ListContainerStatsResponse
)
POD_SANDBOX_STATS = Method(_RUNTIME_SERVICE, "PodSandboxStats", pb.PodSandboxStatsRequest, pb.PodSandboxStatsResponse)
LIST_POD_SANDBOX_STATS = Method(
    _RUNTIME_SERVICE, "ListPodSandboxStats", pb.ListPodSandboxStatsRequest, pb.ListPodSandboxStatsResponse
)
UPDATE_RUNTIME_CONFIG = Method(
    _RUNTIME_SERVICE, "UpdateRuntimeConfig", pb.UpdateRuntimeConfigRequest, pb.UpdateRuntimeConfigResponse
)
STATUS = Method(_RUNTIME_SERVICE, "Status", pb.StatusRequest, pb.StatusResponse)

_IMAGE_SERVICE = "runtime.v1.ImageService"
LIST_IMAGES = Method(_IMAGE_SERVICE, "ListImages", pb.ListImagesRequest, pb.ListImagesResponse)
IMAGE_STATUS = Method(_IMAGE_SERVICE, "ImageStatus", pb.ImageStatusRequest, pb.ImageStatusResponse)
PULL_IMAGE = Method(_IMAGE_SERVICE, "PullImage", pb.PullImageRequest, pb.PullImageResponse)
REMOVE_IMAGE = Method(_IMAGE_SERVICE, "RemoveImage", pb.RemoveImageRequest, pb.RemoveImageResponse)
IMAGE_FS_INFO = Method(_IMAGE_SERVICE, "ImageFsInfo", pb.ImageFsInfoRequest, pb.ImageFsInfoResponse)
