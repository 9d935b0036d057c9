// Package catalog holds Koine's nouns: instances, checks, nodes, and the View, the in-memory replica that serves every
// read. The nouns are plain values that know no technology; the package imports only the standard library, so that
// every other package may import it.
package catalog
