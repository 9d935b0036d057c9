// Package files declares the services of definition files: the *.json, *.yaml, *.yml and *.hcl of one directory. Hidden
// files, those of editors and subdirectories are skipped; the targets of symbolic links are read, so a Kubernetes
// ConfigMap can be mounted there.
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
// them: most have their effect; fields without a counterpart in Koine are kept unchanged under the name "consul" in the
// instance's extras; a field without effect causes a warning; and a field whose loss would make an unhealthy service
// count as healthy is an error.
//
// Each format has a parser that makes the same tree of nodes, with the place of each; one schema reads the tree of any
// format. Every definition is strict: an unknown field, a field given twice or a value of the wrong type is an error
// that names file, line and column.
//
// An error affects nothing else. The unit is the service with its checks, or the check at the top of a file:
//
//   - A unit in error stays as it was before. While a file has an error, nothing that it declared before is taken out.
//   - What a file in error declared before the start is unknown. Until all files have been read without an error, nothing that
//     the sink holds from before the start is taken out: see HoldingSink.
//   - An ID in force stays with the file that declared it. Another file that declares it is in error. If the ID is not
//     in force, the order of the files' names decides.
//   - The services of a missing file are taken out only after a while, because editors, version control and mounts take
//     files away and put them back. A directory that cannot be read changes nothing.
//   - An empty file is an error and not an empty definition, because editors empty a file before they write it.
package files
