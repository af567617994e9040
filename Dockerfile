# Groundswell as a container: `docker build --target cpu .` or `--target gpu`. Everything is fetched while it is built, by hash, and
# nothing when it runs: the models are in the repository.
FROM python:3.11-slim-bookworm AS base
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM base AS build-cpu
RUN python -m venv /venv
COPY locks/run.txt /tmp/lock.txt
RUN pip install --require-hashes -r /tmp/lock.txt
COPY . /app
RUN pip install --no-deps -e /app

FROM base AS build-gpu
RUN python -m venv /venv
COPY locks/run-gpu.txt /tmp/lock.txt
RUN pip install --require-hashes -r /tmp/lock.txt
COPY . /app
RUN pip install --no-deps -e /app

# What runs: the code belongs to root, the state in /data to an account that can do nothing else
FROM base AS run
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin groundswell && install -d -o groundswell -g groundswell /data
ENV GROUNDSWELL_DATA=/data HOME=/tmp
WORKDIR /app
VOLUME /data
ENTRYPOINT ["groundswell"]
CMD ["--help"]

FROM run AS gpu
COPY --from=build-gpu /venv /venv
COPY --from=build-gpu /app /app
USER groundswell

FROM run AS cpu
COPY --from=build-cpu /venv /venv
COPY --from=build-cpu /app /app
USER groundswell
