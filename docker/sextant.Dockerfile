# The command `sextant` for the watch and for jobs, and MLflow's server with what it needs for PostgreSQL and S3.
ARG PYTHON_IMAGE=python:3.12.15-slim-trixie

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# EXTRAS: what the models of the registry need to be converted, such as "cli,s3,xgboost" or "cli,s3,flavors".
FROM ${PYTHON_IMAGE} AS sextant
ARG EXTRAS=cli,s3,signing
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --constraint /constraints.txt --find-links /wheels "triton-sextant[${EXTRAS}]"
# A volume takes the owner of the folder that it is first mounted on; Triton may start before anything is promoted.
RUN useradd --uid 1000 --no-create-home --home-dir /tmp sextant \
    && install --directory --owner 1000 --group 1000 /store /store/models
COPY docker/answers.py /opt/answers.py
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SEXTANT_STORE=/store
USER 1000:1000
WORKDIR /pipelines
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "/opt/answers.py", "http://127.0.0.1:8003/metrics"]
ENTRYPOINT ["sextant"]

FROM sextant AS mlflow
USER 0:0
RUN --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --constraint /constraints.txt boto3 psycopg2-binary
COPY docker/bucket.py /opt/bucket.py
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python3", "/opt/answers.py", "http://127.0.0.1:5000/mlflow/health"]
ENTRYPOINT ["mlflow"]
