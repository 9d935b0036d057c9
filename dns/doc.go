// Package dns is the name server: it answers from the catalog's View, over UDP and TCP on one port, and forwards names
// outside of its domains to the upstream resolvers.
//
// # What it speaks
//
//   - RFC 1035 messages and RFC 7766 TCP, queries of one connection answered as soon as each can be: A, NS, CNAME, SOA,
//     PTR, TXT; AAAA (RFC 3596); SRV (RFC 2782). RFC 1464 for the text of meta (a key that begins with "rfc1035-" gives
//     its value alone, as Consul has it).
//   - RFC 6891 EDNS version 0. The client's UDP size is honoured from 512 bytes to Config.UDPSize, which is 1232 by
//     default, or in full for a client on this host. RFC 8914: extended error 14 (Not Ready) while the View loads, 18 (Prohibited) for a client whose queries
//     are not forwarded, 22 when no upstream answers.
//   - RFC 7873 and 9018 cookies: a client's cookie comes back with a server cookie, by which the client tells forged
//     replies from genuine ones. Clients without a valid one are answered all the same, and as much: BADCOOKIE is never
//     sent.
//   - RFC 2308: a name that exists without the type asked for is NOERROR with the SOA; one that does not exist is
//     NXDOMAIN with the SOA. RFC 8020: a name above others exists.
//   - RFC 8482: ANY gets one of the name's record sets.
//   - RFC 4343 and the 0x20 habit: names compare in any letter case, and the question goes back as it came.
//
// # Names below a domain
//
//	[tag.]name.service[.dc]          instances of a service, with a tag or not
//	[tag.]name.near[.dc]             the same, nearest to the client; "near" may stand in the next two, too
//	_name._tag[.service][.dc]        the same; _tcp and _udp mean any tag and the first port of that protocol
//	_port._proto.name.service[.dc]   instances that have the port, by its name or number
//	[tag.]one.name.service[.dc]      at most one of them; 3-of for three; also behind _port._proto and with "near"
//	node.node[.dc]                   a node, whether it is healthy or not
//	hex.addr[.dc]                    the address that the hexadecimal digits spell; SRV targets are such names
//	ns, and the domain itself        this server
//
// A limit that is a tag of an instance of the service is taken for the tag.
//
// A name belongs to the innermost domain or zone with upstreams of its own that it is in; what is both belongs to the
// upstreams. Where dc stands, "dc.dc" does too. Addresses of nodes and instances have PTR records.
//
// # Clients
//
// A query's source address determines the networks that the client is on (catalog.View.ScopeOf), and answers hold the
// addresses that it reaches. A container, but not the host, is also answered for the names of containers on its
// networks, as by Docker's own name server: bare, or "name.network". A bare name that no container has is that of a
// service, but not of another project's (bareness). Other names of one label, and those below a bare name, are NXDOMAIN to
// it and not forwarded, except for the types that are asked of top-level domains.
//
// An address on a bridge of the host that no known container has is most likely that of one which has just been started: its
// query waits until the engine tells of it, for 200 ms at most, and is then SERVFAIL.
//
// Nearness counts from the place of the asking container, or else from that of this server's node. Addresses are those
// of the first tier that suffices (catalog.Service.Nearest); SRV has all, with priority 0, 1 and 2 by tier, and 1 if
// nearness is not asked for.
//
// # Selection and order
//
// Answers hold healthy instances only. A service with instances of which none is healthy is NOERROR without records,
// because the name exists. Records are in random order. Addresses are ordered by weight, so that a client that asks
// often and takes the first spreads its load by weight; when an answer is cut, addresses are a sample by weight. SRV
// carries the weights itself, so a cut SRV answer is a sample without regard to weight, ordered by weight, or the
// nearest where tiers differ. What does not fit sets TC; the ADDITIONAL section goes first, and without setting TC (RFC
// 2181 §9).
//
// Clients may sort addresses by rules that leave the same one first each time (RFC 6724). So the addresses and SRV records of an
// answer may be limited, for a service (catalog.Service.DNSLimit) and in the name: they are drawn by weight for each query, and
// such an answer is no cut one.
//
// # Other names
//
// They are answered to loopback, this host's subnets, the networks of AllowNetworks and the addresses of Config.Allow,
// and REFUSED to all others: a server that forwards the queries of all clients is an open resolver (RFC 5358).
//
// They go to the upstream resolvers, those of the innermost zone that has its own, by UDP and, if cut, by TCP. A
// question without an answer is sent again after 400 ms, to the next of them. Answers are kept by their TTLs, denials
// by RFC 2308, at most 10,000 of up to 4 KiB; while no upstream answers they are given for a day past their expiry with
// a TTL of 30 s (RFC 8767), and the upstreams are asked again every 30 s. Failures are kept for 5 s (RFC 9520). A
// question in flight is not sent a second time. A query that comes from one of this server's own sockets is a loop, and
// refused.
//
// Names of localhost, onion, invalid and resolver.arpa, and of private addresses, are answered here (RFC 6761, 7686,
// 9462, 6303) unless they are in a zone that has resolvers of its own.
//
// A CNAME that leads into a domain of this server, or from it, or from one zone of upstreams to another, is followed,
// through 16 at most; a loop is SERVFAIL. Upstream records for names in the server's own domains are dropped.
//
// # What it loses
//
//   - No DNSSEC, zone transfer (REFUSED), dynamic update or notify (NOTIMP), no TSIG.
//   - CNAME stands alone: of instances that are known by a host name only, A and AAAA answers show one at a time; next
//     to addresses they show the names' own addresses, if the server has upstreams to ask. In SRV answers they are
//     targets like any other.
//   - The port's published number appears in SRV only; A and AAAA have no place for it.
//   - Instances without a port have no SRV record. More than 64 KiB of records are cut over TCP too, with TC set.
//   - The AD bit of the upstream resolvers' answers is dropped.
package dns
