# The image of hawsepipe: one static binary, CA certificates and a user, nothing else.
#
#   docker build -t ghcr.io/hawsepipe/hawsepipe:0.1.0 .      compiles the binary, then packs it
#   .ci/image BINARY OUTPUT.tar                               packs a binary that is already built
#
# Both end in the same last stage. BINARY_FROM names the stage that holds the root file system
# /out: `build` compiles it, `prebuilt` takes the folder `rootfs` of the build context, so that no
# base image has to be pulled. The stage that is not named is skipped.
ARG BINARY_FROM=build

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY agent agent
COPY proto proto
COPY e2e e2e
# --target is named although it is the machine's own: only then do the flags leave build scripts
# and procedural macros alone, which cannot be linked static. glibc 2.34 and later carry the
# resolver for files and DNS inside, so that a static binary needs no nsswitch modules.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --release --locked --package hawsepipe --target "$target" \
    && install -D -m 0755 "target/$target/release/hawsepipe" /out/usr/local/bin/hawsepipe \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
    && echo 'root:x:0:0:root:/:/sbin/nologin' > /out/etc/passwd \
    && echo 'hawsepipe:x:65532:65532:hawsepipe:/:/sbin/nologin' >> /out/etc/passwd \
    && printf 'root:x:0:\nhawsepipe:x:65532:\n' > /out/etc/group \
    && install -d -m 1777 /out/tmp

FROM scratch AS prebuilt
COPY rootfs/ /out/

FROM ${BINARY_FROM} AS binary

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hawsepipe" \
      org.opencontainers.image.description="Telemetry agent for every node of a Kubernetes cluster and for Linux hosts" \
      org.opencontainers.image.source="https://github.com/hawsepipe/hawsepipe" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=binary /out/ /
# One heap for all threads (mallopt(3)): they seldom allocate at once, and a heap for each keeps what that thread
# used once, 5 MiB of 23 on a node with 110 pods. What is free at its end goes back to the kernel when it is more than
# 1 MiB: else that bound grows with the largest buffer that was ever freed, and 2 MiB of 20 stay. Below 1 MiB the log
# path would pay for it, and so it would if its buffers were mapped one by one.
ENV PATH=/usr/local/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=1048576
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/hawsepipe"]
