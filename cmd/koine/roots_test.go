package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// TestBuiltInRootsWhereTheSystemHasNone runs itself again as a process that finds no certificates, as in the image.
func TestBuiltInRootsWhereTheSystemHasNone(t *testing.T) {
	if os.Getenv("SSL_CERT_FILE") != "/nowhere" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if trusted, of := trustedRoots(t); trusted != 0 {
		t.Fatalf("%d of %d roots are trusted before: the system has some, so this shows nothing", trusted, of)
	}
	trustBuiltInRoots()
	trustBuiltInRoots() // a second server in one process
	if trusted, of := trustedRoots(t); trusted != of || of < 50 {
		t.Errorf("%d of %d roots are trusted", trusted, of)
	}
}

// trustedRoots counts the certificates of the list that a server could show, and those of them that are trusted.
func trustedRoots(t *testing.T) (trusted, of int) {
	t.Helper()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		of++
		middle := certificate.NotBefore.Add(certificate.NotAfter.Sub(certificate.NotBefore) / 2)
		if root.Constraint != nil {
			middle = certificate.NotBefore
		}
		_, err = certificate.Verify(x509.VerifyOptions{CurrentTime: middle, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err == nil {
			trusted++
		}
	}
	return trusted, of
}
