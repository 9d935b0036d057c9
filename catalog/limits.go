package catalog

import "time"

// Limits on what the catalog accepts. The error for an excess names the limit.
const (
	MaxName         = 63      // bytes in the name of a service or a node: one DNS label
	MaxID           = 255     // bytes in the ID of an instance or a check
	MaxTags         = 64      // tags of an instance
	MaxTag          = 255     // bytes in a tag
	MaxWord         = 255     // bytes in a source, an owner's ID, a node's ID, a region, a zone, a network's name or ID
	MaxMeta         = 64      // pairs of meta
	MaxMetaKey      = 128     // bytes in a meta key
	MaxMetaValue    = 4096    // bytes in a meta value
	MaxPorts        = 128     // ports of an instance
	MaxAddresses    = 64      // addresses of an instance or a node
	MaxNames        = 32      // bare names of an address
	MaxChecks       = 32      // checks of an instance or a node
	MaxOutput       = 4 << 10 // bytes of a check's output that are kept
	MaxExtras       = 32 << 10
	MaxText         = 8 << 10 // bytes in a check's name, and in its definition: URL, headers, body, script's arguments
	MaxWeight       = 65535   // SRV carries 16 bits
	MaxMinHealthy   = 100     // percent
	MaxDNSLimit     = 4096    // more addresses than a message of 64 KiB has room for
	MaxRegistration = 10_000  // instances in one node's declared state
)

// Defaults for what a declaration leaves out.
const (
	DefaultInterval   = 10 * time.Second // between two runs of a check
	DefaultTimeout    = 5 * time.Second  // of one run of a check
	DefaultPurgeAfter = 10 * time.Minute // from the end of a node's session to the removal of its records
	MinInterval       = 10 * time.Millisecond
	MinIntervalHTTP   = time.Second // of a check that comes over HTTP: it makes this host send what a client chose
	MaxTimeout        = time.Hour   // of one run of a check
	MinTTL            = time.Second
	MaxTTL            = 24 * time.Hour
	MaxCheckTTL       = 1_000_000 * time.Hour // of a check; files in the field say 999999h for never
	DefaultHistory    = time.Hour             // back from now
	MaxHistory        = 7 * 24 * time.Hour
)
