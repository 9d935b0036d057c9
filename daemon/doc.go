// Package daemon wires Koine's parts into one process. It is the only package that imports them all.
package daemon
