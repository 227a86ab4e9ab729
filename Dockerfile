# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY app ./app
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home vision-proxy \
    && install -d -o 10001 -g 10001 /var/lib/vision-proxy
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_TRIM_THRESHOLD_=1048576 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    VISION_PROXY_HOST=0.0.0.0 \
    VISION_PROXY_PORT=8000 \
    VISION_PROXY_DATABASE_URL=sqlite:////var/lib/vision-proxy/vision-proxy.db
# a number, so that Kubernetes can see that it is not root
USER 10001
WORKDIR /var/lib/vision-proxy
VOLUME /var/lib/vision-proxy
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"VISION_PROXY_PORT\"]}/livez', timeout=2)"]
CMD ["vision-proxy", "serve"]
