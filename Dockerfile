# The image contains the pinned dependencies and the wheel, but no build tools.

FROM python:3.13-slim AS build
WORKDIR /build
RUN python3 -m venv /opt/charter
COPY requirements.lock ./
RUN /opt/charter/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml setup.cfg LICENSE ./
COPY api api
COPY migrations migrations
COPY openapi openapi
RUN /opt/charter/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -w dist . \
    && /opt/charter/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps dist/charter-*.whl

FROM python:3.13-slim
COPY --from=build /opt/charter /opt/charter
# For SQLite and generated secrets. With PostgreSQL, Charter writes nothing to this folder.
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/charter
ENV PATH=/opt/charter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CHARTER_HOST=0.0.0.0 \
    CHARTER_DATA_DIR=/var/lib/charter
WORKDIR /var/lib/charter
# Numeric, because Kubernetes can verify only a numeric user as non-root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ping', timeout=2)"]
ENTRYPOINT ["charter"]
CMD ["serve"]
