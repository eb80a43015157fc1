# The export on a GPU host: TensorRT builds plans for the GPU at hand alone (docs/tensorrt.md).
#
# TENSORRT_IMAGE is NVIDIA's TensorRT container of the same month as the Triton that will load the plans: a plan is
# loaded by the version that built it, and by no other.
ARG TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:26.09-py3
FROM ${TENSORRT_IMAGE}

WORKDIR /opt/sextant
COPY . .
# The image's own TensorRT is used, so its Python packages stay visible; [tensorrt] would fetch another.
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir ".[cli,flavors]" "onnxconverter-common>=1.14"
# A volume takes the owner of the folder that it is first mounted on.
RUN install --directory --owner 1000 --group 1000 /store /store/models /timing
ENV PATH="/opt/venv/bin:${PATH}" HOME=/tmp
USER 1000:1000
WORKDIR /pipelines
ENTRYPOINT ["sextant"]
