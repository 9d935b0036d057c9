// Package sockets finds the process that has a port of this host.
package sockets

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proc is the directory of processes. Tests change it.
var proc = "/proc"

// Holder names the process whose socket keeps another one from being bound to an address: "dnsmasq (process 612)". The network is tcp or
// udp. It is empty if no such socket is seen, or whose it is: the processes of other users show theirs to root alone.
func Holder(network string, at netip.AddrPort) string {
	inode := socketAt(network, at)
	if inode == "" {
		return ""
	}
	pid := owner("socket:[" + inode + "]")
	if pid == 0 {
		return ""
	}
	name, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", bytes.TrimSpace(name), pid)
}

// The states of sockets that take what is sent to their port, as /proc/net shows them: of TCP one that listens, of UDP one
// that is not connected.
var open = map[string]string{"tcp": "0A", "udp": "07"}

// socketAt returns the inode of the socket that has an address; empty if none is seen.
func socketAt(network string, at netip.AddrPort) string {
	for _, table := range []string{network, network + "6"} {
		text, err := os.ReadFile(filepath.Join(proc, "self", "net", table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != open[network] {
				continue
			}
			local, ok := parseLocal(fields[1])
			if ok && local.Port() == at.Port() && (local.Addr().IsUnspecified() || local.Addr().Unmap() == at.Addr().Unmap().WithZone("")) {
				return fields[9]
			}
		}
	}
	return ""
}

// parseLocal reads an address and a port as /proc/net writes them: the address in words of the processor's byte order.
func parseLocal(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(address)
	if !ok || err != nil || hexErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(number)), ok
}

// owner returns the process that has a file open, by the name that /proc shows; 0 if none is seen.
func owner(file string) int {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		files := filepath.Join(proc, entry.Name(), "fd")
		list, err := os.ReadDir(files)
		if err != nil {
			continue
		}
		for _, f := range list {
			if name, err := os.Readlink(filepath.Join(files, f.Name())); err == nil && name == file {
				return pid
			}
		}
	}
	return 0
}
