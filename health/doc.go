// Package health runs the checks of one node's services and reports changes of their status to the catalog.
//
// It has two halves. State is a pure state machine: thresholds and initial status, a function of the check's
// definition, one result and the time. Runner is the loop around it: it keeps a timetable of a desired set of checks,
// probes those that fall due with a bounded number of probes at a time, and passes each change of status to a Reporter.
//
// The types of check:
//
//   - http: one request per run. A status below 300 passes, 429 warns, all else is critical. Redirects are followed
//     while they stay on the same host name, at most 5; one that leads elsewhere says nothing about this instance, so
//     the redirect itself counts as the answer, which is critical. Each run makes a new connection, and no proxy is
//     used.
//   - tcp: a connection is made and closed.
//   - script: exit code 0 passes, 1 warns, all else is critical. The command runs in a process group of its own and the
//     whole group is killed when the command ends or its time is up, so a run leaves nothing behind.
//   - udp: a datagram is sent. An answer passes, "port unreachable" is critical, and silence passes unless the check
//     asks for an answer.
//   - grpc: gRPC's health service is asked. SERVING passes, all else is critical.
//   - h2ping: an HTTP/2 connection is opened and a PING sent. Its answer passes.
//   - exec: like a script, but inside a container, through an Execer.
//   - alias: the status of an instance, a service or a node of the catalog. It is not polled but evaluated whenever the
//     View changes, and takes effect at once, without thresholds: the aliased status has had its own.
//   - ttl: the application pushes its status; without a push within the TTL the check turns critical. A pushed status
//     takes effect at once: thresholds do not apply.
//   - docker: not run here; its declaration includes its status.
//
// Checks that begin together run first within a second, and are then spread over their interval.
//
// A check never overlaps itself, and its next run is computed from its timetable and not from the end of the last run.
// Runs that could not start in time, because all probes were busy or the last run took longer than the interval, are
// skipped and not made up for.
//
// Only a change of status is reported, with the output of the run that changed it. The first outcome of a check without
// a stored outcome is always reported, so that a check that was critical from the start has its reason stored.
//
// A check that becomes critical and recovers too often flaps: Flaps gives it a score, and a check with a FlapThreshold
// is held critical while the score is too high. An instance whose check has been critical for its DeregisterAfter is
// passed to a Deregisterer.
package health
