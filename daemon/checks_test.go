package daemon

import (
	"net"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestChecksThatLookAtTheCatalog runs the whole process: an alias follows its service, and an instance whose check stays
// critical is deregistered.
func TestChecksThatLookAtTheCatalog(t *testing.T) {
	d := runDaemon(t, Config{Node: "here", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off})
	ctx := eventually.Context(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	api, err := client.New(client.Config{Address: d.HTTPAddr().String()})
	if err != nil {
		t.Fatal(err)
	}
	register := func(service string, def catalog.Definition) {
		def.InferType()
		_, err := api.Register(ctx, catalog.Registration{
			Instance: catalog.Instance{ID: service, Node: "here", Service: service, Source: "test", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}},
			Checks:   []catalog.Check{{ID: service + ":1", Node: "here", Instance: service, Definition: def}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	register("db", catalog.Definition{
		TCP: listener.Addr().String(), Interval: catalog.Duration(time.Second), DeregisterAfter: catalog.Duration(time.Second),
	})
	register("web", catalog.Definition{AliasService: "db"})
	status := func(service string) catalog.Status {
		if e := d.view.Instance("here", service); e != nil {
			return e.Status
		}
		return "gone"
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		for {
			revision := d.view.Revision()
			if holds() {
				return
			}
			if _, err := d.view.WaitList(ctx, d.view.Revision, revision); err != nil {
				t.Fatalf("%s: db is %s, web is %s", what, status("db"), status("web"))
			}
		}
	}
	await("both pass", func() bool { return status("db") == catalog.Passing && status("web") == catalog.Passing })
	_ = listener.Close()
	await("web follows db", func() bool { return status("web") == catalog.Critical })
	await("db is deregistered", func() bool { return status("db") == "gone" })
}
