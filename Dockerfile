# The image holds the one static binary and nothing else. Build the binary first: make build
FROM scratch
COPY bin/koine /koine
EXPOSE 8500 8600/udp 8600
VOLUME /data
ENTRYPOINT ["/koine"]
CMD ["dev", "--bind", "0.0.0.0", "--data-dir", "/data"]
