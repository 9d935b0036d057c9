// Package docker registers the containers of one Docker engine.
//
// It subscribes to the engine's events, then lists and inspects everything, then follows: each event leads to a new look
// at the container that it names, and the whole set is declared again when something differs. Nothing is concluded from
// the engine's silence: while it cannot be reached the last known state stays, except that a container whose process has
// ended is removed at once, whatever ended it.
//
// # What becomes of a container
//
// A running container is one instance, whatever the number of its ports; and one more for each port that
// SERVICE_<port>_NAME gives another name than the container's service has. That one follows the first: it has its drain, and
// its status by an alias check. SERVICE_<port>_TAGS and the other settings of a port apply to that instance. A
// container without ports is registered too: it has addresses. All instances of a container come and go together.
//
// With Config.Registrator a container is registered as Registrator does: one instance for each published port, with the
// host's addresses. The rules are in registrator.go, the cases in testdata/registrator.txt.
//
// Settings: labels koine.*, and Registrator's SERVICE_* as labels and in the environment. Of the environment only those are
// read that have a meaning of their own (see known), because it holds passwords; with Config.Registrator the others are
// meta, except those that may be secrets (see secret).
//
// Name, the first of: label koine.name; Compose's label com.docker.compose.service, with Config.ProjectNames followed by
// its project; Swarm's label com.docker.swarm.service.name; SERVICE_NAME; the image's name without registry, path, tag and
// digest; the container's name, if the image has none. Characters that no DNS label can carry become "-". Services that share a
// name by chance, because two projects use it or two names have become the same, are warned of. Compose's project and
// Swarm's stack are meta and a tag. A one-off container of Compose is not registered.
//
// ID: koine.id, SERVICE_ID, the container's name. If two containers of the engine claim one, the younger's gets its short
// container id appended.
//
// Ports: those of koine.ports or SERVICE_PORTS ("http=80,admin=9000/tcp") in the order given, else all that are exposed or
// published: those with a SERVICE_<port>_NAME first, TCP before the others, exposed by the image and published, published
// only, exposed only, then by number. The first is the main port. In host network mode a port answers on the host under its
// own number. A container in the network of another one has the ports that it exposes itself, under the numbers that the
// other publishes.
//
// Addresses: one or two (IPv4 and global IPv6) for each network, the one of label koine.network first, then user-defined
// networks by name, then the default bridge, then those of the host on which a port is published, with a pair of address and
// port for each of them if the number is not the same on all. A container without any address is not registered: an instance
// without addresses would be given those of its node.
//
// Names, on each network: the container's, its short id, the host name that a user gave, aliases, Compose's service,
// Swarm's and "tasks." before it. A container on an overlay network also has its address on docker_gwbridge, by which
// host and container reach each other, without names.
//
// Health: Docker's HEALTHCHECK is a check whose status is declared; starting and unhealthy are critical. Checks of
// koine.check.* and SERVICE_CHECK_* are declared without status, for the agent to run. Scripts come from
// every user that may start a container, and run on the host, so they are refused unless Config.EnableScripts is set.
//
// Restarts: a container that its engine has restarted, as its policy says, is registered once it has been up for a little longer
// than the time before, at most ten seconds. A first start, and one by hand, is not delayed.
//
// Drain: a container that is sent its stop signal, SIGTERM or SIGKILL drains until it dies or starts again, a paused one
// until it is unpaused. The signal is known from the kernel (sigwatch.go), from the engine's event, or from Podman's list. One whose process has ended drains until the engine has said how, for a few seconds at most.
//
// End: before a set in which an instance is missing, the sink gets the reason: "container exited 137".
//
// A label that cannot be understood is left out with one warning; the rest of the container stands.
package docker
