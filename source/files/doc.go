// Package files declares the services of definition files: the *.json, *.yaml and *.yml of one directory, in the order
// of their names. Hidden files and those of editors are passed over, as are subdirectories; what a symbolic link points
// at is read, so a Kubernetes ConfigMap can be mounted there.
//
// A file holds services, checks of services, and checks of the node:
//
//	services:
//	  - name: web
//	    ports: [{name: http, number: 80}, {name: admin, number: 8081}]
//	    tags: [rails]
//	    check: {http: "http://127.0.0.1/health", interval: 10s}
//
// Consul's service definitions are accepted as they stand: service, services, check and checks at the top, in
// snake_case or CamelCase, with the fields that Consul's agent knows. Of these
//
//   - weights.passing becomes the weight; what Koine does not model (enable_tag_override, tagged_addresses, weights,
//     proxy, connect, kind, …) is kept as it was written under the name "consul" in the instance's extras, its field
//     names in snake_case; all but tagged_addresses and weights are warned of, as they have no effect here;
//   - token is dropped with a warning: the catalog is no place for secrets;
//   - checks of kinds that Koine does not run (grpc, udp, h2ping, alias, docker, tcp with TLS) are errors, because a
//     service whose check is not run would pass unseen; notes are dropped.
//
// Every definition is strict: an unknown field, a field given twice or a value of the wrong type is an error. The first
// error of a file is the file's error; it names file, line and column. Such a file's previous content stays in force and
// so do all other files; a file that vanishes takes its services with it. An ID that two files use is the error of the
// later one. An empty file is an error and not an empty definition, because editors empty a file before they write it.
package files
