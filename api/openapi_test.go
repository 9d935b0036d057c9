package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	AllOf      []schema          `json:"allOf"`
}

// parameter is one that stands in an operation, or a reference to one.
type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
}

// of returns what a reference leads to.
func (p parameter) of(doc *openAPI) parameter {
	if p.Ref == "" {
		return p
	}
	return doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
}

type openAPI struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string      `json:"operationId"`
		Parameters  []parameter `json:"parameters"`
		RequestBody any         `json:"requestBody"`
		Responses   map[string]any
	} `json:"paths"`
	Servers    []struct{ URL string }
	Components struct {
		Schemas    map[string]schema `json:"schemas"`
		Parameters map[string]parameter
	} `json:"components"`
}

func readDocument(t *testing.T) (doc openAPI) {
	t.Helper()
	if err := json.Unmarshal([]byte(newBed(t).get(t, "/openapi.json").body), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentHasEveryRoute(t *testing.T) {
	doc := readDocument(t)
	var served, documented []string
	for _, route := range routes() {
		served = append(served, route.method+" "+root+route.path)
	}
	operations := map[string]string{}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			name := strings.ToUpper(method) + " " + path
			documented = append(documented, name)
			if other, taken := operations[operation.OperationID]; taken || operation.OperationID == "" {
				t.Errorf("operation id %q of %s and %s", operation.OperationID, name, other)
			}
			operations[operation.OperationID] = name
			for _, variable := range strings.Split(path, "{")[1:] {
				variable, _, _ = strings.Cut(variable, "}")
				if !slices.ContainsFunc(operation.Parameters, func(p parameter) bool {
					p = p.of(&doc)
					return p.Name == variable && p.In == "path"
				}) {
					t.Errorf("%s does not describe {%s}", name, variable)
				}
			}
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("served (-) and documented (+) routes: %s", diff)
	}
}

// TestDocumentHasTheCodes holds those that follow from an operation's form; each also says of 404 and 409 what it does.
func TestDocumentHasTheCodes(t *testing.T) {
	doc := readDocument(t)
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "/" {
		t.Errorf("servers %v", doc.Servers)
	}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			var want []string
			if path != root+"/openapi.json" {
				want = append(want, "400", "403", "default")
			}
			if operation.RequestBody != nil {
				want = append(want, "408", "413", "415")
			}
			if strings.HasSuffix(path, "/renew") || method != "put" && strings.Contains(path, "{") {
				want = append(want, "404")
			}
			for _, code := range want {
				if operation.Responses[code] == nil {
					t.Errorf("%s %s does not say %s", method, path, code)
				}
			}
		}
	}
}

func TestDocumentHasEveryField(t *testing.T) {
	doc := readDocument(t)
	for name, value := range map[string]any{
		"Instance": client.Instance{}, "CheckStatus": client.CheckStatus{}, "CheckRun": catalog.CheckRun{}, "Service": client.Service{},
		"ServiceSummary": client.ServiceSummary{}, "ServiceList": client.ServiceList{}, "InstanceList": client.InstanceList{},
		"NodeSummary": client.NodeSummary{}, "NodeList": client.NodeList{}, "CheckList": client.CheckList{},
		"Event": client.Event{}, "Health": client.Health{}, "Written": client.Written{}, "CheckPush": client.CheckPush{},
		"Declaration": client.Declaration{}, "CheckDeclaration": client.CheckDeclaration{},
		"NodeDeclaration": client.NodeDeclaration{}, "Error": client.ErrorBody{},
		"Explanation": client.Explanation{}, "ExplanationList": client.ExplanationList{}, "DoorView": client.DoorView{},
		"DrainOrder": client.DrainOrder{}, "Drain": catalog.Drain{}, "LeftOut": catalog.LeftOut{}, "DrainList": client.DrainList{},
		"Address":      catalog.Address{},
		"CatalogEvent": catalog.Event{}, "LogEvent": client.LogEvent{}, "History": catalog.History{},
	} {
		fields := fieldsOf(reflect.TypeOf(value))
		var documented []string
		for field := range doc.Components.Schemas[name].Properties {
			documented = append(documented, field)
		}
		slices.Sort(fields)
		slices.Sort(documented)
		if diff := cmp.Diff(fields, documented); diff != "" {
			t.Errorf("%s, fields (-) and documented (+): %s", name, diff)
		}
	}
}

// fieldsOf returns the JSON names of a struct's fields, embedded ones included.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			names = append(names, fieldsOf(field.Type)...)
		case name != "-":
			names = append(names, name)
		}
	}
	return names
}

// Every reference in the document leads somewhere.
func TestDocumentReferences(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	count := 0
	var visit func(any)
	visit = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				visit(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				count++
				var target any = doc
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					target = target.(map[string]any)[part]
				}
				if target == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, item := range v {
				visit(item)
			}
		}
	}
	visit(doc)
	if count < 50 {
		t.Errorf("%d references", count)
	}
}
