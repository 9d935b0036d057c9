# The image holds the one static binary and nothing else. Build the binary first: make build
#
# Without arguments it listens on all of the container's addresses, because others cannot reach its loopback. Every client
# that reaches them can then register and deregister over HTTP, without authentication, and resolve names of the catalog; Koine warns of
# it at its start. Publish the ports on loopback (-p 127.0.0.1:8500:8500), or give it arguments of your own.
FROM scratch
COPY bin/koine /koine
EXPOSE 8500 8600/udp 8600
VOLUME /data
ENTRYPOINT ["/koine"]
CMD ["dev", "--bind", "0.0.0.0", "--data-dir", "/data"]
