// Package files declares the services of definition files: the *.json, *.yaml, *.yml and *.hcl of one directory. Hidden
// files and those of editors are passed over, as are subdirectories; what a symbolic link points at is read, so a
// Kubernetes ConfigMap can be mounted there.
//
// A file holds services, checks of services, and checks of the node:
//
//	services:
//	  - name: web
//	    ports: [{name: http, number: 80}, {name: admin, number: 8081}]
//	    tags: [rails]
//	    check: {http: "http://127.0.0.1/health", interval: 10s}
//
// Consul's definitions are accepted as they stand: service, services, check and checks at the top, in snake_case or
// CamelCase, in JSON or HCL, with the fields that Consul documents. The guide, docs/definition-files.md, has a table of
// them: most have their effect; what Koine does not model is kept as it was written under the name "consul" in the
// instance's extras; what has no effect is warned of; and what would let a service pass unseen is an error.
//
// Each format has a parser that makes the same tree of nodes, with the place of each; one schema reads the tree, whatever
// the format. Every definition is strict: an unknown field, a field given twice or a value of the wrong type is an error
// that names file, line and column.
//
// What is in error touches nothing else. The unit is the service with its checks, or the check at the top of a file:
//
//   - A unit in error stays as it was before. While a file has an error, nothing that it declared before is taken out.
//   - An ID that is in force stays with the file that declared it. Another file that declares it is in error. Where
//     nothing is in force, the order of the files' names decides.
//   - A file that is missing takes its services with it only after a while, because editors, version control and mounts
//     take files away and put them back. A directory that cannot be read changes nothing.
//   - An empty file is an error and not an empty definition, because editors empty a file before they write it.
package files
