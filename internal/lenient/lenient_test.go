package lenient

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Gateway netip.Addr
	Prefix  int
	At      time.Time
	Names   []string
}

type embedded struct{ Low int }

type outer struct {
	ID    string `json:"Id"`
	Skip  string `json:"-"`
	Inner *inner
	List  []inner
	Addrs map[netip.Addr]int
	Nets  map[string]*inner
	embedded
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestUnmarshal(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       outer
		paths      string
	}{
		{"fits", `{"Id":"a","Inner":{"Gateway":"10.0.0.1"}}`, outer{ID: "a", Inner: &inner{Gateway: addr("10.0.0.1")}}, ""},
		{
			"a bad text", `{"Id":"a","Inner":{"Gateway":"<nil>","Prefix":24}}`,
			outer{ID: "a", Inner: &inner{Prefix: 24}}, "Inner.Gateway",
		},
		{
			"an empty time", `{"Inner":{"At":"","Names":["n"]},"id":"b"}`,
			outer{ID: "b", Inner: &inner{Names: []string{"n"}}}, "Inner.At",
		},
		{"another type", `{"Id":7,"Inner":[],"List":[{"Prefix":1}]}`, outer{List: []inner{{Prefix: 1}}}, "Id Inner"},
		{
			"an element of a list", `{"List":[{"Prefix":1},"x",{"Prefix":"2"},null],"Low":"z"}`,
			outer{List: []inner{{Prefix: 1}, {}, {}}}, "List[1] List[2].Prefix Low",
		},
		{"null for a list", `{"Id":"a","List":null,"Inner":{"Names":null,"Prefix":""}}`, outer{ID: "a", Inner: &inner{}}, "Inner.Prefix"},
		{"an object for a list", `{"Id":"a","List":{}}`, outer{ID: "a"}, "List"},
		{
			"a key of a map", `{"Addrs":{"10.0.0.1":1,"x":2,"10.0.0.3":"3"}}`,
			outer{Addrs: map[netip.Addr]int{addr("10.0.0.1"): 1}}, "Addrs.10.0.0.3 Addrs.x",
		},
		{
			"an entry of a map", `{"Nets":{"a":{"Prefix":1},"b":null,"c":{"Prefix":true},"d":3}}`,
			outer{Nets: map[string]*inner{"a": {Prefix: 1}, "b": nil, "c": {}}}, "Nets.c.Prefix Nets.d",
		},
		{"a field that is not decoded", `{"Skip":1,"-":1,"Inner":{"private":1},"Id":0}`, outer{Inner: &inner{}}, "Id"},
		{"another whole", `["Id"]`, outer{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got outer
			faults, err := Unmarshal([]byte(tt.text), &got)
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, f := range faults {
				paths = append(paths, f.Path)
				if f.Reason == "" {
					t.Errorf("%s has no reason", f.Path)
				}
			}
			if got := strings.Join(paths, " "); got != tt.paths {
				t.Errorf("left out %q, want %q", got, tt.paths)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("decoded %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestUnmarshalErrors(t *testing.T) {
	var into outer
	if _, err := Unmarshal([]byte(`{"Id":"a"`), &into); err == nil {
		t.Error("half an object was decoded")
	}
	if _, err := Unmarshal([]byte(`{}`), into); err == nil {
		t.Error("a value was decoded into, want an error without a pointer")
	}
	faults, err := Unmarshal([]byte(`[`+strings.Repeat(`"x",`, 1000)+`"x"]`), new([]int))
	if err != nil || len(faults) != maxFaults {
		t.Errorf("%d faults and error %v, want %d faults", len(faults), err, maxFaults)
	}
	type nest struct {
		N *nest
		V int
	}
	deep := strings.Repeat(`{"N":`, 200) + `{"V":"x"}` + strings.Repeat("}", 200)
	if faults, err := Unmarshal([]byte(deep), new(nest)); err != nil || len(faults) != 1 {
		t.Errorf("deep nesting: %d faults and error %v", len(faults), err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"Id":"a","Inner":{"Gateway":"<nil>"},"List":[1,{"At":""}],"Addrs":{"x":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var into outer
		faults, err := Unmarshal(data, &into)
		for _, fault := range faults {
			if fault.Reason == "" || err != nil {
				t.Errorf("fault %+v and error %v", fault, err)
			}
		}
	})
}
