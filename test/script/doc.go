// Package script tests what a user of the command line sees: each file of testdata is a script of commands with their
// outcome, one block for each behaviour. Besides the commands of testscript it may use
//
//	daemon [NAME] [FLAG...]        start koine dev on free ports and await that it is ready; $KOINE_HTTP and $DNS are its addresses
//	start NAME PROGRAM [ARG...]    start a program; it writes to NAME.out and NAME.log, and is $NAME_PID
//	term NAME [CODE]               send SIGTERM and expect the exit code, 0 if none is named
//	end NAME [CODE]                expect the exit code without a signal
//	hup NAME, kill9 NAME           send SIGHUP; SIGKILL and await the end
//	exits CODE PROGRAM [ARG...]    run a program and expect its exit code
//	serve NAME, answer NAME CODE, shut NAME
//	                               an HTTP server at $NAME that answers 200, or CODE; stop it, until it is served again
//
// and the programs
//
//	koine                          the tested program
//	await [-out REGEXP] PROGRAM... run a program again and again until it succeeds and prints so; await ! PROGRAM until it fails
//	dig NAME [TYPE] [+tcp]         ask $DNS; prints the answers' data, sorted, and fails without any
//	http METHOD PATH [BODY]        ask $KOINE_HTTP; prints the body, and fails if the status is 400 or more
//
//	json FILE                      expect an object on each line of a log; prints their messages
//
// The scripts of testdata/docker may also use the docker command, with $DOCKER_HOST, an engine that they share and that
// has the images koine/demo, koine/portless and koine/checked, and $ETCD, a plain etcd for daemons that share a catalog.
//
// [etcd] holds if the daemons keep their catalog in a plain etcd, [ipv6] if the host has IPv6. Programs that a script starts end
// with it.
package script
