package main

import (
	"crypto/x509"
	"fmt"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// trustBuiltInRoots verifies certificates of servers by Mozilla's list if the system has no list of its own, as in the image. The package fallback would do it for every command, which then starts some milliseconds later; only
// checks need it. A process can do it once.
var trustBuiltInRoots = sync.OnceFunc(func() { x509.SetFallbackRoots(builtInRoots()) })

func builtInRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil:
			panic(fmt.Sprintf("built-in root certificate: %v", err)) // the list is compiled in
		case root.Constraint != nil:
			pool.AddCertWithConstraint(certificate, root.Constraint)
		default:
			pool.AddCert(certificate)
		}
	}
	return pool
}
