// Package daemon wires Koine's parts into one process. It is the only package that knows them all.
package daemon
