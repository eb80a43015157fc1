# NVIDIA's Triton with what Sextant's blocks need in its Python. TRITON_IMAGE: a release not older than 26.08, best with
# its digest; the tag's month must be that of TENSORRT_IMAGE where plans are built (docs/tensorrt.md).
ARG PYTHON_IMAGE=python:3.12.15-slim-trixie
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.09-py3

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# EXTRAS: "backend,tracing" for spans of blocks (docs/traces.md).
FROM ${TRITON_IMAGE}
ARG EXTRAS=backend
# The image's own NumPy stays: Triton's Python backend was built beside it.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    grep --invert-match --ignore-case '^numpy==' /constraints.txt > /tmp/constraints.txt \
    && python3 -m pip install --no-cache-dir --break-system-packages --constraint /tmp/constraints.txt \
       --find-links /wheels "triton-sextant[${EXTRAS}]" \
    && rm /tmp/constraints.txt
# A volume takes the owner of the folder that it is first mounted on.
RUN install --directory --owner 1000 --group 1000 /store /store/models
COPY docker/answers.py /opt/answers.py
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python3", "/opt/answers.py", "http://127.0.0.1:8000/v2/health/ready"]
