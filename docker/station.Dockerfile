# A station that searches on the CPU, for 64-bit x86. Never built or run by the project: docs/docker.md says what was
# checked instead. From the root of the repository: docker build -f docker/station.Dockerfile -t latentline-station .

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY latentline latentline
COPY trainer trainer
COPY export export
COPY edge_runtime edge_runtime
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim
# EXTRAS=[demo] adds what `latentline-edge demo` needs. OpenVINO works without its telemetry, which would report to Intel.
ARG EXTRAS=""
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir "$(echo /wheel/latentline-*.whl)${EXTRAS}" \
    && pip uninstall --yes openvino-telemetry

# The spool belongs to the station's user; the model of the demo has a path that does not depend on Python's version.
RUN useradd --system --uid 10001 --home-dir /var/lib/latentline --shell /usr/sbin/nologin latentline \
    && install -d -o latentline -g latentline -m 750 /var/lib/latentline /var/lib/latentline/models \
    && install -d /etc/latentline /opt/latentline \
    && ln -s "$(find /usr/local/lib -type d -path '*/demo/model')" /opt/latentline/demo-model \
    && test -f /opt/latentline/demo-model/manifest.json
ENV PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/latentline
VOLUME /var/lib/latentline

# 503 while a stage hangs; needs the default `supervision.http_port`. The first start may take a while.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]

ENTRYPOINT ["latentline-edge"]
CMD ["run", "/etc/latentline/station.yaml"]
