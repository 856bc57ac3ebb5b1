# A station on a Jetson with JetPack 6 (L4T 36): TensorRT, CUDA and OpenCV are JetPack's own. Never built or run by the
# project, which has no Jetson: docs/docker.md. On the Jetson, from the root of the repository:
#   docker build -f docker/jetson.Dockerfile -t latentline-jetson .
#   docker run --runtime nvidia … latentline-jetson

FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
# nvidia-opencv is JetPack's OpenCV, with GStreamer; pip's build has none and would hide it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        build-essential gstreamer1.0-plugins-base gstreamer1.0-plugins-good nvidia-opencv python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# System packages are visible, so TensorRT's and OpenCV's Python modules are; both want NumPy 1.
RUN python3 -m venv --system-site-packages /opt/latentline
ENV PATH=/opt/latentline/bin:/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY latentline latentline
COPY trainer trainer
COPY export export
COPY edge_runtime edge_runtime
# pycuda is compiled here, which takes some minutes. OpenVINO works without its telemetry, which would report to Intel.
# hadolint ignore=DL3013
RUN pip install --upgrade pip && pip install '.[gpu]' 'numpy<2' \
    && pip uninstall --yes openvino-telemetry && rm -rf /source/*

# Says at build time what would otherwise fail at the line. TensorRT is only looked up: the driver's libraries it loads
# are there at run time, under `--runtime nvidia`.
RUN python -c "import cv2; assert any('GStreamer' in line and 'YES' in line for line in cv2.getBuildInformation().splitlines()), 'this OpenCV has no GStreamer'" \
    && python -c "from importlib.util import find_spec; assert find_spec('tensorrt'), 'the base image has no TensorRT for Python'"

# The user needs the groups of the Jetson's video and GPU devices; `--group-add` gives them the host's numbers.
RUN useradd --system --uid 10001 --home-dir /var/lib/latentline --shell /usr/sbin/nologin latentline \
    && install -d -o latentline -g latentline -m 750 \
        /var/lib/latentline /var/lib/latentline/models /var/lib/latentline/engines \
    && install -d /etc/latentline
ENV LATENTLINE_CACHE=/var/lib/latentline/engines
USER 10001
WORKDIR /var/lib/latentline
VOLUME /var/lib/latentline

# The first start builds engines, for minutes; until then a failed check does not count.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]

ENTRYPOINT ["latentline-edge"]
CMD ["run", "/etc/latentline/station.yaml"]
