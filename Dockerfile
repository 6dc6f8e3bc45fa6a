# A container of webntpd: a server by default, and with `run` the daemon. docs/container.md says how
# to use it.
#
# The image is Debian's slim one with our Debian package, not a virtual environment. Every library is
# the distribution's: a new build takes in its security fixes, scanners know each file by its package,
# and nothing is there twice. A digest in BASE fixes everything but the packages that this file
# installs; their versions depend on the package archive. The build tools stay in a stage of their own.
ARG BASE=debian:13-slim

FROM ${BASE} AS package
ENV DEBIAN_FRONTEND=noninteractive DEB_BUILD_PROFILES=nocheck DEB_BUILD_OPTIONS=nocheck
WORKDIR /build/webntpd
COPY debian debian
RUN apt-get -qq update && apt-get -qq build-dep --yes --no-install-recommends .
COPY . .
RUN dpkg-buildpackage --build=binary --no-sign

FROM ${BASE}
COPY --from=package /build/webntpd_*_all.deb /tmp/
# The user gets a number that no user of a Debian host has, so no user of the host can write to its
# shared memory. The directories are open to all, because `docker run --user` may name another user.
RUN install --directory --mode=1777 /run/webntpd /var/lib/webntpd /var/log/webntpd \
    && install --directory /etc/sysusers.d \
    && echo 'u webntpd 65532' >/etc/sysusers.d/webntpd.conf \
    && apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
        ca-certificates systemd-standalone-sysusers tzdata /tmp/webntpd_*_all.deb \
    && apt-get -qq clean \
    && rm -rf /tmp/* /var/lib/apt/lists/* /var/log/apt /var/log/*.log
COPY packaging/healthcheck /usr/lib/webntpd/healthcheck

USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["webntpd"]
CMD ["serve", "0.0.0.0:8080"]
HEALTHCHECK --interval=30s --timeout=15s --start-period=10s CMD ["/usr/lib/webntpd/healthcheck"]
