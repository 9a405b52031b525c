# A base with Python >= 3.11, and with venv and pip for the first stage. Both stages have to use the same. The default is
# the newest Python for which every locked dependency has a wheel.
ARG BASE_IMAGE=docker.io/library/python:3.14.10-slim-trixie
# As sha256:…; a release sets it to the digest of the tested base. Empty: the current image of the tag.
ARG BASE_DIGEST=""

FROM ${BASE_IMAGE}${BASE_DIGEST:+@${BASE_DIGEST}} AS build
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# pip stays outside of the final image, where it would only add attack surface.
RUN python3 -m venv /pip \
 && /pip/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/sidecar-policy \
 && /pip/bin/pip --python /opt/sidecar-policy/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY webhook webhook
COPY certs certs
RUN /pip/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheel . \
 && /pip/bin/pip --python /opt/sidecar-policy/bin/python install --no-cache-dir --no-compile --no-index --no-deps /wheel/*.whl
# CEL extensions that no policy expression uses: 36 MB.
RUN rm -r /opt/sidecar-policy/lib/python3*/site-packages/cel_expr_python/ext
# The root file system may be read-only, so compile bytecode here, except for a thousand models that are never imported.
RUN /opt/sidecar-policy/bin/python -m compileall -q -x '/kubernetes/(aio/)?client/(api|models)/' /opt/sidecar-policy/lib

FROM ${BASE_IMAGE}${BASE_DIGEST:+@${BASE_DIGEST}}
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="sidecar-policy" \
      org.opencontainers.image.description="Decides for every pod whether and how Istio's sidecar is injected" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/sidecar-policy /opt/sidecar-policy
ENV PATH=/opt/sidecar-policy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["sidecar-policy"]
CMD ["serve"]
